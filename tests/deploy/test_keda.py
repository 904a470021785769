"""KEDA's objects: its own schemas (2.19) take them, no name is unknown, a trigger is told what its scaler reads."""

import copy
import json
from typing import Any

import pytest

from tests.deploy.manifests import OVERLAYS, Documents, of_keda, of_kind
from tests.node_client import SOURCE, Node, installed

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("manifests")]  # rendered once; the schemas come from npm, too

_CHECK = (SOURCE / "keda.mjs").read_text(encoding="utf-8")
# What a trigger needs, and may have besides: https://keda.sh/docs/2.19/scalers/, `redis-lists` and `prometheus`.
_NEEDED = {"redis": {"address", "listName", "listLength"}, "prometheus": {"serverAddress", "query", "threshold"}}
_OPTIONAL = {
    "redis": {
        *("usernameFromEnv", "passwordFromEnv", "activationListLength"),
        *("enableTLS", "unsafeSsl", "databaseIndex"),
    },
    "prometheus": {
        *("activationThreshold", "namespace", "customHeaders", "ignoreNullValues", "queryParameters"),
        *("unsafeSsl", "timeout", "authModes"),
    },
}


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    return installed(tmp_path_factory)


async def troubles(node: Node, *objects: dict[str, Any]) -> list[list[str]]:
    """What KEDA's schemas have against each."""
    return [json.loads(line) for line in await node.run(_CHECK, DOCUMENTS=json.dumps(objects))]


async def test_the_schemas_of_keda_take_it(node: Node, overlay: Documents) -> None:
    ours = of_keda(overlay)
    assert await troubles(node, *ours) == [[]] * len(ours)


def test_keda_is_in_the_production_overlay_for_both_roles(rendered: dict[str, Documents]) -> None:
    scaled = {overlay: of_kind(rendered[overlay], "ScaledObject").keys() for overlay in OVERLAYS}
    assert scaled == {
        "base": set(),
        "overlays/production": {"threadmill-worker-apply", "threadmill-worker-execute"},
        "overlays/s3": set(),
    }
    assert of_kind(rendered["overlays/production"], "TriggerAuthentication").keys() == {"threadmill-redis"}


async def test_the_schemas_would_say_so(node: Node, rendered: dict[str, Documents]) -> None:
    scaled = of_kind(rendered["overlays/production"], "ScaledObject")["threadmill-worker-apply"]
    secret = of_kind(rendered["overlays/production"], "TriggerAuthentication")["threadmill-redis"]
    integer, string = 'type {"type":"integer"}', 'type {"type":"string"}'
    behaviors = '["static","currentReplicas","currentReplicasIfHigher","currentReplicasIfLower"]'
    broken = {
        "/spec/cooldownPeriods: unknown": changed(scaled, "spec", "cooldownPeriods", 300),
        "/spec/fallback/replica: unknown": changed(scaled, "spec", "fallback", "replica", 2),
        "/spec/triggers/0/metricTypes: unknown": changed(scaled, "spec", "triggers", 0, "metricTypes", "Value"),
        "/metadata/label: unknown": changed(scaled, "metadata", "label", {}),
        "/specs: unknown": changed(scaled, "specs", {}),
        f"/spec/maxReplicaCount: {integer}": changed(scaled, "spec", "maxReplicaCount", "8"),
        '/spec/maxReplicaCount: format {"format":"int32"}': changed(scaled, "spec", "maxReplicaCount", 2**31),
        f"/spec/triggers/0/metadata/listLength: {string}": changed(
            scaled, "spec", "triggers", 0, "metadata", "listLength", 16
        ),
        f'/spec/fallback/behavior: enum {{"allowedValues":{behaviors}}}': changed(
            scaled, "spec", "fallback", "behavior", "none"
        ),
        '/spec: required {"missingProperty":"scaleTargetRef"}': changed(scaled, "spec", "scaleTargetRef", None),
        '/spec/scaleTargetRef: required {"missingProperty":"name"}': changed(scaled, "spec", "scaleTargetRef", {}),
        '/apiVersion: enum {"allowedValues":["keda.sh/v1alpha1"]}': changed(scaled, "apiVersion", "keda.sh/v1"),
        "/kind: ScaledObjects is none of ScaledObject, TriggerAuthentication": changed(scaled, "kind", "ScaledObjects"),
        '/spec/secretTargetRef/0: required {"missingProperty":"key"}': changed(
            secret, "spec", "secretTargetRef", 0, "key", None
        ),
        "/spec/secretTargetRef/0/keys: unknown": changed(secret, "spec", "secretTargetRef", 0, "keys", "a"),
        "/spec/secretTargetRefs: unknown": changed(secret, "spec", "secretTargetRefs", []),
    }
    assert await troubles(node, *broken.values()) == [[trouble] for trouble in broken]


async def test_how_an_autoscaler_behaves_is_not_taken_for_looked_at(node: Node, rendered: dict[str, Documents]) -> None:
    """Its schema is Kubernetes', of a package of 18 MB: another one stands in its place."""
    scaled = of_kind(rendered["overlays/production"], "ScaledObject")["threadmill-worker-apply"]
    advanced = {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}}
    ((trouble,),) = await troubles(node, changed(scaled, "spec", "advanced", advanced))
    assert trouble.startswith("/spec/advanced/horizontalPodAutoscalerConfig/behavior: unchecked")


def changed(document: dict[str, Any], *way: Any) -> dict[str, Any]:
    """A copy with the last of `way` at the place that the others lead to; None takes away what is there."""
    whole = copy.deepcopy(document)
    *places, name, value = way
    inner: Any = whole
    for place in places:
        inner = inner[place]
    if value is None:
        del inner[name]
    else:
        inner[name] = value
    return whole


def test_who_scales_is_told_what_is_read(overlay: Documents) -> None:
    """KEDA takes any names for a scaler, and passes over those that it does not know."""
    for scaler in of_kind(overlay, "ScaledObject").values():
        assert scaler["spec"]["minReplicaCount"] > 0
        assert "cooldownPeriod" not in scaler["spec"], "it is for the way to no replica, which nobody goes here"
        for trigger in scaler["spec"]["triggers"]:
            needed, told = _NEEDED[trigger["type"]], set(trigger["metadata"])
            assert needed <= told
            assert told <= needed | _OPTIONAL[trigger["type"]]
            assert trigger["metricType"] == "AverageValue", "of what all workers have, a share for each"
