"""compose.yaml: the client reads it, nothing starts without passwords, and each container is as bare as it can be."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.stack import AS_DEPLOYED
from shared.settings import Settings
from tests.deploy.places import DEPLOY, said

_FILE = DEPLOY / "compose.yaml"
_ASKED = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "GRAFANA_PASSWORD")
_OURS = {"migrate", "api", "worker-apply", "worker-execute"}
_CLIENT = shutil.which("docker-compose")
needs_client = pytest.mark.skipif(_CLIENT is None, reason="no docker-compose: Debian's package of that name has it")


def configured(**passwords: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **passwords}
    command = [str(_CLIENT), "--file", str(_FILE), "config"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = configured(**dict.fromkeys(_ASKED, "Pa55word"))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return found


@needs_client
@pytest.mark.parametrize("missing", _ASKED)
def test_nothing_starts_without_a_password(missing: str) -> None:
    done = configured(**{name: "Pa55word" for name in _ASKED if name != missing})
    assert done.returncode != 0
    assert missing in done.stderr


def test_the_example_has_all_that_is_asked_for_and_no_value() -> None:
    lines = (DEPLOY / "compose.env.example").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [f"{name}=" for name in _ASKED]
    known = {match[1] for line in lines if (match := re.match(r"#?([A-Z_]+)=", line))}
    assert set(re.findall(r"\$\{([A-Z_]+)", _FILE.read_text(encoding="utf-8"))) == known


@needs_client
def test_every_container_is_bare(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert re.search(r":[^:]*\d", service["image"]), f"{name}: no tag"
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
    for name in ("postgres", "redis"):
        assert set(services[name]["networks"]) == {"data"}, name


@needs_client
def test_all_that_runs_is_looked_at_and_waits_for_its_database(services: dict[str, Any]) -> None:
    assert services.keys() == {*_OURS, "postgres", "redis", "prometheus", "grafana"}
    for name in services.keys() - _OURS:
        assert services[name]["healthcheck"]["test"], name
    for name in _OURS - {"migrate"}:  # theirs is the image's
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert services[name]["stop_grace_period"] == "30s"
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert Settings.model_fields["drain_timeout"].default < 30


@needs_client
def test_postgres_keeps_the_promises(services: dict[str, Any]) -> None:
    command = services["postgres"]["command"]
    assert {"--fsync=on", "--full_page_writes=on", "--synchronous_commit=on"} <= set(command)
    assert {f"--{name}={value}" for name, value in AS_DEPLOYED.items()} <= set(command)  # what the bench measures with
    (volume,) = services["postgres"]["volumes"]
    assert volume.startswith("postgres:")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: Debian's package `prometheus` has it")
@pytest.mark.parametrize("name", ["compose.yml", "kubernetes.yml"])
def test_promtool_takes_what_prometheus_is_given(name: str, tmp_path: Path) -> None:
    """Debian's promtool is built without Kubernetes' discovery: of that file all else is checked."""
    shutil.copy(DEPLOY / "prometheus" / "alerts.yml", tmp_path)
    told = yaml.safe_load((DEPLOY / "prometheus" / name).read_bytes())
    for job in told["scrape_configs"]:
        job.pop("kubernetes_sd_configs", None)
    file = tmp_path / name
    file.write_text(yaml.safe_dump(told), encoding="utf-8")
    said("promtool", "check", "config", file)
    jobs = {job["job_name"] for job in told["scrape_configs"]}
    assert jobs == {"threadmill-api", "threadmill-worker"}  # what alerts and dashboard know


@needs_client
def test_grafana_finds_its_prometheus_and_its_dashboard(services: dict[str, Any]) -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_bytes())["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"] is True
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "threadmill.yaml").read_bytes())["providers"]
    mounted = dict(volume.rsplit(":", 2)[:2][::-1] for volume in services["grafana"]["volumes"])
    assert mounted[f"{provider['options']['path']}/threadmill.json"] == str(DEPLOY / "grafana" / "threadmill.json")
    assert mounted["/etc/grafana/provisioning"] == str(provisioning)
