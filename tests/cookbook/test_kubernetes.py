"""The probes of the cookbook's manifest are asked of its command, while its database goes away."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from loopback import Running, answer_of, running, wait_until
from ports import free_port
from recipe_page import Recipe
from services import Postgres

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

RECIPE = Recipe("kubernetes")
#: The server's configuration in the image.
SERVER = Recipe("container").files["gunicorn.conf.py"]


def container() -> dict[str, Any]:
    manifest = yaml.safe_load(RECIPE.files["deployment.yaml"])
    assert (manifest["apiVersion"], manifest["kind"]) == ("apps/v1", "Deployment")
    template = manifest["spec"]["template"]
    assert manifest["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    (found,) = template["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def path_of(probe: str) -> str:
    """Return the path that a probe of the manifest asks, on the port of the container."""
    request = container()[f"{probe}Probe"]["httpGet"]
    (port,) = container()["ports"]
    assert request["port"] == port["name"]
    assert f'bind = "0.0.0.0:{port["containerPort"]}"' in SERVER
    return str(request["path"])


@dataclass
class Pod:
    served: Running
    port: int

    def probe(self, name: str) -> int:
        return answer_of(self.port, path_of(name))[0]

    def statuses(self) -> tuple[int, int, int]:
        return self.probe("startup"), self.probe("liveness"), self.probe("readiness")

    def wait_for(self, *statuses: int) -> None:
        # A heartbeat is answered with the outcome of a second ago.
        wait_until(lambda: self.statuses() == statuses, f"answer {statuses}")


@pytest.fixture
def pod(tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    folder = tmp_path / "app"
    RECIPE.write_files(folder)
    (folder / "gunicorn.conf.py").write_text(SERVER, "utf-8")
    for variable in container()["env"]:
        if "value" in variable:
            monkeypatch.setenv(variable["name"], variable["value"])
    monkeypatch.setenv("DATABASE_URL", postgres.url_for("psycopg"))
    port = free_port()
    monkeypatch.setenv("GUNICORN_CMD_ARGS", f"--bind 127.0.0.1:{port}")
    with running([sys.executable, "-m", *container()["args"]], folder, port) as served:
        yield Pod(served, port)


def test_only_the_readiness_probe_notices_that_the_database_is_away(
    pod: Pod, postgres: Postgres
) -> None:
    # The rows of the page's table.
    pod.wait_for(200, 200, 200)
    postgres.stop()
    pod.wait_for(200, 200, 503)
    found = json.loads(answer_of(pod.port, path_of("readiness"))[1])
    assert found["checks"] == {"database": "error"}
    postgres.start()
    pod.wait_for(200, 200, 200)
    assert pod.served.process.poll() is None
    assert pod.served.err == ""
    lines = checked_lines(pod.served.out)
    booted = [line for line in lines if "Booting worker" in line["Fields"].get("msg", "")]
    assert len(booted) == 1
    assert [line["Severity"] for line in lines if line["Fields"].get("check") == "database"]


def test_a_database_that_hangs_fails_the_readiness_probe_alone(
    pod: Pod, postgres: Postgres
) -> None:
    pod.wait_for(200, 200, 200)
    postgres.freeze()
    try:
        pod.wait_for(200, 200, 503)
    finally:
        postgres.thaw()
    pod.wait_for(200, 200, 200)


def test_the_readiness_probe_waits_longer_than_a_check_may_take() -> None:
    (timeout,) = re.findall(
        r"CHECK_TIMEOUT_SECONDS\"\] = ([\d.]+)", RECIPE.files["shop/__init__.py"]
    )
    assert container()["readinessProbe"]["timeoutSeconds"] > float(timeout)


def test_no_probe_that_restarts_the_container_runs_checks() -> None:
    assert path_of("liveness") == path_of("startup") == "/__lbheartbeat__"
    assert path_of("readiness") == "/__heartbeat__"


def test_the_server_has_more_threads_than_heartbeats_may_wait() -> None:
    from dockerflow.settings import Settings

    (threads,) = re.findall(r"^threads = (\d+)$", SERVER, re.MULTILINE)
    assert int(threads) > Settings().heartbeat_max_waiting


def test_the_format_of_google_cloud_changes_the_lines_by_the_variable_alone() -> None:
    assert {"name": "LOG_FORMAT", "value": "mozlog"} in container()["env"]
    for text in (SERVER, RECIPE.files["shop/__init__.py"]):
        assert "format=" not in text
