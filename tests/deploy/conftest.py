"""The manifests, rendered once a session."""

import pytest
import yaml

from tests.deploy.manifests import OVERLAYS, Documents, build


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Documents]:
    """What `kubectl apply --kustomize` would send, by overlay."""
    return {overlay: list(yaml.safe_load_all(build(tmp_path_factory, overlay))) for overlay in OVERLAYS}


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, rendered: dict[str, Documents]) -> Documents:
    return rendered[request.param]
