"""The compose file and the shipper's configuration of the cookbook, on lines of a real service."""

import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance import Capture, checked
from loopback import running, wait_until
from ports import free_port
from recipe_page import Recipe

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

RECIPE = Recipe("compose")
COMPOSE = yaml.safe_load(RECIPE.files["compose.yaml"])
VECTOR = yaml.safe_load(RECIPE.files["vector.yaml"])
SHOP = COMPOSE["services"]["shop"]


def logged(number: int = logging.ERROR, **extra: Any) -> str:
    """Return a line, as a container prints it."""
    capture = Capture(name="shop")
    capture.logger.name = "shop.cart"
    capture.logger.log(number, "refused", extra=extra)
    return capture.stream.getvalue()


def transformed(message: str) -> Any:
    """Return what Vector's transform makes of a message of a container."""
    vrl = pytest.importorskip("vrl_python", reason="vrl-python is not installed")
    event = {"container_name": "shop-1", "message": message.rstrip("\n")}
    source = VECTOR["transforms"]["lines"]["source"]
    return vrl.VRLRuntime().execute(source, event).processed_event


def test_the_transform_makes_the_event_that_the_page_shows() -> None:
    line = logged(code=7)
    (shown, _) = RECIPE.lines["events"]
    event = transformed(line)
    assert event["mozlog"] == checked(line)
    assert list(event) == list(shown)
    assert list(event["mozlog"]) == list(shown["mozlog"])
    assert event["level"] == shown["level"]
    assert event["mozlog"]["Fields"] == shown["mozlog"]["Fields"]
    # To the nanosecond; VRL's own text of a time has a blank for the T.
    nanoseconds = checked(line)["Timestamp"] % 10**9
    assert f".{nanoseconds:09}".rstrip("0") in event["timestamp"]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (logging.CRITICAL, "crit"), (logging.ERROR, "err"), (logging.WARNING, "warning"),
        (logging.INFO, "info"), (logging.DEBUG, "debug"),
    ],
)  # fmt: skip
def test_each_level_has_its_name_of_syslog(level: int, expected: str) -> None:
    assert transformed(logged(level))["level"] == expected


@pytest.mark.parametrize(
    "text", ["Segmentation fault", "[1]", "{}", '{"EnvVersion": "1.0"}', "null", ""]
)
def test_a_text_that_is_no_line_stays_as_it_is(text: str) -> None:
    _, shown = RECIPE.lines["events"]
    assert transformed(text) == {**shown, "message": text}


def test_a_field_of_the_application_replaces_nothing_of_the_shipper() -> None:
    event = transformed(logged(level="mine", timestamp=0, container_name="other"))
    assert (event["level"], event["container_name"]) == ("err", "shop-1")
    assert event["mozlog"]["Fields"]["container_name"] == "other"


def test_a_line_is_no_longer_than_what_docker_takes_in_one_piece() -> None:
    limit = int(re.findall(r"at most ([\d,]+) bytes", RECIPE.text)[0].replace(",", ""))
    line = logged(text="x" * 100_000)
    assert len(line.encode()) <= limit
    assert "mozlog.degraded" in transformed(line)["mozlog"]["Fields"]


def test_the_shipper_reads_the_service_of_the_compose_file() -> None:
    (label,) = VECTOR["sources"]["containers"]["include_labels"]
    service = label.removeprefix("com.docker.compose.service=")
    assert service in COMPOSE["services"]
    assert VECTOR["transforms"]["lines"]["inputs"] == list(VECTOR["sources"])
    (sink,) = VECTOR["sinks"].values()
    assert sink["inputs"] == list(VECTOR["transforms"])
    volumes = [each.split(":") for each in COMPOSE["services"]["vector"]["volumes"]]
    targets = {source: target for source, target, *_ in volumes}
    assert targets["./vector.yaml"] == "/etc/vector/vector.yaml"
    assert sink["path"].startswith(targets["./logs"] + "/")
    # The driver must be one that Docker's own log command, and so the shipper, can read.
    assert SHOP["logging"]["driver"] in ("json-file", "local", "journald")


def test_the_build_has_the_argument_that_the_dockerfile_wants() -> None:
    assert SHOP["build"]["context"] == "."
    for name in SHOP["build"]["args"]:
        assert f"ARG {name}\n" in Recipe("container").files["Dockerfile"]


def test_the_health_check_passes_while_the_service_runs_and_fails_without_it(
    tmp_path: Path,
) -> None:
    kind, program, *arguments = SHOP["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    published, inside = SHOP["ports"][0].rsplit(":", 2)[1:]
    assert published == inside == "8000"
    port = free_port()
    command = [sys.executable, *(each.replace(inside, str(port)) for each in arguments)]

    def status() -> int:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode

    folder = tmp_path / "app"
    container = Recipe("container")
    container.write_files(folder)
    server = [sys.executable, "-m", "gunicorn", "shop:app", "--bind", f"127.0.0.1:{port}"]
    assert status() == 1
    with running(server, folder, port):
        # Docker tries again as well.
        wait_until(lambda: status() == 0, "pass its health check")
    assert status() == 1
