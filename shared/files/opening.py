"""Which storage a setting means. Refused here: asking whether it can be reached."""

from pathlib import Path
from urllib.parse import urlsplit

from shared.files.directory import Directory
from shared.files.storage import Storage

S3 = "s3://"


class StorageUnusable(Exception):
    """THREADMILL_FILES names a storage that this process can't use."""


def open_storage(place: str) -> Storage:
    """The storage of a setting: a directory, or `s3://bucket/prefix`. Raises StorageUnusable."""
    if not place.startswith(S3):
        return Directory(Path(place))
    try:
        from shared.files.s3 import Bucket  # noqa: PLC0415 - only with the extra `s3`
    except ImportError as error:
        raise StorageUnusable(f"{place} needs the extra `s3`: pip install 'threadmill[s3]' ({error})") from error
    parts = urlsplit(place)
    return Bucket(parts.netloc, parts.path.strip("/"))
