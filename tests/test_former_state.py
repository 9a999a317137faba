"""What people keep outside of the package works after the package has changed inside.

``former_state.json`` was written by an earlier state of the package: pickles, and the dicts of
``dict_config()``, which people keep in files. It is never written anew.
"""

import base64
import importlib
import json
import logging
import logging.config
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance import checked, checked_lines

import mozlog_py

FORMER = json.loads((Path(__file__).parent / "former_state.json").read_text())

#: The paths of documentation, of upstream and of dumped configurations.
PUBLIC = [
    "mozlog_py.celery.connect_signals",
    "mozlog_py.config.configure",
    "mozlog_py.config.dict_config",
    "mozlog_py.context.bind",
    "mozlog_py.formatter.MozlogFormatter",
    "mozlog_py.gcp.CloudFormatter",
    "mozlog_py.handlers.MozlogHandler",
    "mozlog_py.pretty.PrettyFormatter",
    "mozlog_py.processors.Redact",
    "mozlog_py.processors.Sample",
    "mozlog_py.pytest_plugin",
    "mozlog_py.queued.MozlogQueueHandler",
    "mozlog_py.redaction.Redact",
    "mozlog_py.sampling.Sample",
    "mozlog_py.schema.validate",
    "mozlog_py.servers.AccessFields",
    "mozlog_py.servers.ErrorFields",
    "mozlog_py.servers.ExceptionFields",
    "mozlog_py.sink.Sink",
    "mozlog_py.structlog.FastBoundLogger",
    "mozlog_py.structlog.MozlogRenderer",
    "mozlog_py.structlog.SinkLoggerFactory",
    "mozlog_py.structlog.processors",
    "mozlog_py.testing.capture_lines",
    "dockerflow.asgi.DockerflowASGI",
    "dockerflow.checks.register",
    "dockerflow.django.apps.DockerFlowAppConfig",
    "dockerflow.django.checks.check_database_connected",
    "dockerflow.django.middleware.DockerflowMiddleware",
    "dockerflow.django.signals.heartbeat_failed",
    "dockerflow.django.views.heartbeat",
    "dockerflow.fastapi.router",
    "dockerflow.fastapi.middleware.MozlogRequestSummaryLogger",
    "dockerflow.fastapi.middleware.RequestIdMiddleware",
    "dockerflow.fastapi.views.heartbeat",
    "dockerflow.flask.app.Dockerflow",
    "dockerflow.flask.checks.check_database_connected",
    "dockerflow.flask.signals.heartbeat_failed",
    "dockerflow.health.ERROR_CANNOT_CONNECT_DATABASE",
    "dockerflow.logging.JsonLogFormatter",
    "dockerflow.logging.MozlogHandler",
    "dockerflow.logging.RequestIdLogFilter",
    "dockerflow.sanic.app.Dockerflow",
    "dockerflow.sanic.checks.check_redis_connected",
    "dockerflow.version.get_version",
    "dockerflow.wsgi.DockerflowWSGI",
]


def found(path: str) -> Any:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("path", PUBLIC)
def test_a_public_path_leads_to_something(path: str) -> None:
    assert found(path) is not None


def unpickled(name: str) -> Any:
    return pickle.loads(base64.b64decode(FORMER[name]))


def test_a_pickled_record_gives_the_line_that_it_gave() -> None:
    line = checked(mozlog_py.MozlogFormatter(logger_name="shop").format(unpickled("record")))
    assert (line["Type"], line["Logger"], line["Severity"]) == ("mozlog_py", "shop", 4)
    assert line["Fields"] == {"user": "ann", "msg": "3 paid"}


def test_a_pickled_formatter_has_its_options() -> None:
    formatter = unpickled("formatter")
    made = logging.LogRecord("a", 20, "/x.py", 1, "hi", (), None)
    made.pin, made.deep = "1234", {"a": [1, "b"]}
    fields = checked(formatter.format(made))["Fields"]
    assert fields["env"] == "prod"
    assert "1234" not in str(fields)
    assert not any(type(value) is dict for value in fields.values())


def test_a_pickled_bound_logger_logs_in_another_process() -> None:
    code = (
        "import base64, pickle\n"
        f"log = pickle.loads(base64.b64decode({FORMER['bound_logger']!r}))\n"
        "log.info('unpickled', n=1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (line,) = checked_lines(done.stdout)
    assert line["Fields"] == {"user": "ann", "n": 1, "msg": "unpickled"}


@pytest.mark.parametrize("name", ["dict_config", "dict_config_gcp_queue"])
def test_a_dumped_configuration_is_taken(name: str) -> None:
    code = (
        "import json, logging, logging.config, sys\n"
        f"logging.config.dictConfig(json.loads({json.dumps(FORMER[name])!r}))\n"
        "logging.getLogger('shop.till').warning('configured')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    (line,) = checked_lines(done.stdout)
    assert (line["Type"], line["Logger"]) == ("shop.till", "shop")
    assert line["Fields"].get("msg", line.get("message")) == "configured"


def test_a_pickled_error_of_a_renderer_and_its_logger_is_read_under_the_former_path() -> None:
    pickled = b"cmozlog_py.structlog.wiring\nWiringError\n(Vno text\ntR."
    code = (
        "import pickle\n"
        f"error = pickle.loads({pickled!r})\n"
        "from mozlog_py.structlog.output_check import WiringError\n"
        "assert type(error) is WiringError and error.args == ('no text',)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
