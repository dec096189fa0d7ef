"""Holds deploy/compose to its schema, to the server's flags and to the files that it mounts.

`docker-compose config` resolves and checks the files without an engine; nothing is started here.
usage: ANTIDIFFUSIOND=build/bin/antidiffusiond python -m pytest tests/deploy/compose_test.py
"""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from deployed import ROOT, flags, flags_of_help, tool

COMPOSE = ROOT / "deploy/compose"
END_OF_LAST_JOBS_S = 20  # what the server itself gives them after the drain: docs/api.md


def resolved(*files):
    arguments = [argument for file in files for argument in ("--file", str(COMPOSE / file))]
    output = subprocess.run(
        [tool("docker-compose"), *arguments, "config"], check=True, capture_output=True, text=True)
    assert not output.stderr, output.stderr
    return yaml.safe_load(output.stdout)["services"]


@pytest.fixture(name="services", scope="module")
def _services():
    return resolved("compose.yaml")


@pytest.fixture(name="cluster", scope="module")
def _cluster():
    return resolved("compose.yaml", "cluster.yaml")


def given(service):
    return flags({"args": service["command"],
                  "env": [{"name": name, "value": value}
                          for name, value in service["environment"].items()]})


def mounts(service):
    """Folder in the container -> host path or volume, for what the file names itself."""
    found = {}
    for mount in service["volumes"]:
        source, target, *_ = mount.split(":") if isinstance(mount, str) else (
            mount["source"], mount["target"])
        found[target] = source
    return found


def test_flags_exist_and_device_is_the_processor(services):
    assert set(given(services["antidiffusion"])) <= flags_of_help()
    assert given(services["antidiffusion"])["device"] == "cpu"


def test_the_gpu_file_adds_one_device():
    service = resolved("compose.yaml", "gpu.yaml")["antidiffusion"]
    assert given(service)["device"] == "cuda:0"
    assert given(service).keys() <= flags_of_help()
    assert service["image"] == "antidiffusion:0.1.0-cuda"
    assert service["build"]["args"] == {"CUDA": "1"}
    devices = service["deploy"]["resources"]["reservations"]["devices"]
    assert [device["device_ids"] for device in devices] == [["0"]]


def test_the_cluster_has_a_frontend_and_two_workers_on_one_database(cluster):
    frontend, worker, database = (cluster[name] for name in ("antidiffusion", "worker", "postgres"))
    assert given(frontend)["role"] == "frontend"
    assert given(worker)["role"] == "worker" and worker["deploy"]["replicas"] == 2
    assert frontend["image"] == worker["image"]
    for service in (frontend, worker):
        assert given(service).keys() <= flags_of_help()
        assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        kind, _, settings = given(service)["job-store"].partition(":")
        connection = dict(setting.split("=") for setting in settings.split())
        assert kind == "postgresql"
        assert connection == {"host": "postgres", "dbname": database["environment"]["POSTGRES_DB"],
                              "user": database["environment"]["POSTGRES_USER"]}
        assert service["environment"]["PGPASSWORD"] == database["environment"]["POSTGRES_PASSWORD"]
    assert mounts(database)["/var/lib/postgresql/data"] == "database"


def test_workers_and_the_database_have_no_port_outside(cluster):
    assert "ports" not in cluster["worker"] and "ports" not in cluster["postgres"]


def test_prometheus_sees_each_worker_of_the_cluster(cluster):
    source = mounts(cluster["prometheus"])["/etc/prometheus/prometheus.yml"]
    config = yaml.safe_load((COMPOSE / source).read_text())
    alone = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    workers = config["scrape_configs"][0].pop("dns_sd_configs")
    assert workers == [{"names": ["worker"], "type": "A", "port": 8002}]
    assert config == alone


@pytest.mark.parametrize("name", ["antidiffusion", "worker"])
def test_the_service_runs_with_as_little_as_it_can(cluster, name):
    service = cluster[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service and "privileged" not in service


def test_nothing_listens_beyond_loopback(cluster):
    for name, service in cluster.items():
        for port in service.get("ports", []):
            text = port if isinstance(port, str) else f"{port.get('host_ip')}:"
            assert text.startswith("127.0.0.1:"), name


@pytest.mark.parametrize("name", ["antidiffusion", "worker"])
def test_the_grace_period_outlasts_the_drain(cluster, name):
    minutes, seconds = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?",
                                    cluster[name]["stop_grace_period"]).groups("0")
    drain = int(given(cluster[name])["drain-timeout"])
    assert 60 * int(minutes) + int(seconds) > drain + END_OF_LAST_JOBS_S


def test_files_that_are_mounted_are_there(cluster):
    hosts = [source for service in cluster.values() for source in mounts(service).values()
             if "/" in source]
    assert len(hosts) >= 5
    for source in hosts:
        assert (COMPOSE / source).exists(), source


def test_the_job_store_is_on_a_volume_that_the_user_may_write(services):
    folder = given(services["antidiffusion"])["job-store"].removeprefix("sqlite:").rpartition("/")[0]
    assert mounts(services["antidiffusion"])[folder] == "jobs"
    # A new volume takes over the owner of the image's folder.
    assert f"install -d -o 65532 -g 65532 /runtime{folder} " in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("files", [["compose.yaml"], ["compose.yaml", "cluster.yaml"]], ids=len)
def test_prometheus_takes_the_configuration_and_the_rules(files, tmp_path):
    """The layout of the container, in a folder, as promtool sees it."""
    for target, source in mounts(resolved(*files)["prometheus"]).items():
        if target.startswith("/etc/prometheus/"):
            copy = tmp_path / target.removeprefix("/etc/prometheus/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(COMPOSE / source, copy)
    result = subprocess.run([tool("promtool"), "check", "config", str(tmp_path / "prometheus.yml")],
                            capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"[1-9]\d* rules found", result.stdout), result.stdout
    config = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    assert config["scrape_configs"][0]["static_configs"] == [{"targets": ["antidiffusion:8002"]}]


def test_grafana_finds_its_source_and_its_dashboards(services):
    source = yaml.safe_load((COMPOSE / "grafana/datasources/prometheus.yaml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((COMPOSE / "grafana/dashboards/antidiffusion.yaml").read_text())
    folder = mounts(services["grafana"])[provider["providers"][0]["options"]["path"]]
    dashboards = list((COMPOSE / folder).glob("*.json"))
    assert dashboards
    for dashboard in dashboards:
        uids = set(re.findall(r'"uid": "([^"]*)"', json.dumps(
            json.loads(dashboard.read_text())["panels"])))
        assert uids <= {source["datasources"][0]["uid"], "${datasource}"}, dashboard
