"""An operation as a `curl` to paste. What differs from one caller to the next stands in variables of the shell."""

import json
import re

from api.dialects.operations import Dialect, Operation

_VARIABLE = re.compile(r"\$([A-Z_]+)")


def curl(dialect: Dialect, operation: Operation) -> str:
    """With `$URL`, `$TOKEN` and the dialect's own variables."""
    path = re.sub(r"{(\w+)}", lambda found: f"{dialect.variables[found[1]]}", operation.path)
    root = dialect.root.rstrip("/")
    lines = [f'curl -sS{_flags(operation)} "$URL{root}{path}{operation.query}"']
    if operation.token:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if operation.upload:
        lines.append("-F file=@notes.txt")
    if operation.example is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d {_quoted(operation.example)}"]
    return " \\\n  ".join(lines)


def _flags(operation: Operation) -> str:
    unbuffered = "N" if any(answer.events for answer in operation.answers) else ""
    method = operation.method.upper()
    implied = "POST" if operation.example is not None or operation.upload else "GET"
    return unbuffered + ("" if method == implied else f" -X {method}")


def _quoted(example: object) -> str:
    """JSON in single quotes, which end where a variable begins and go on behind it."""
    text = json.dumps(example, ensure_ascii=False)
    return "'" + _VARIABLE.sub(lambda found: f"'\"${found[1]}\"'", text.replace("'", "'\\''")) + "'"
