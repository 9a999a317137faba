"""Uses that type checkers must take. This module is checked, and never run."""

import io
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog
from flask import Flask
from structlog.typing import EventDict, WrappedLogger
from structlog.typing import Processor as StructlogProcessor

import dockerflow.logging
import mozlog_py
from dockerflow import checks
from dockerflow.asgi import DockerflowASGI
from dockerflow.flask import Dockerflow
from dockerflow.request_id import RequestIdPolicy
from dockerflow.settings import Settings
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py import MozlogFormatter, MozlogHandler, MozlogQueueHandler, context
from mozlog_py._config.options import OptionError
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.processors import (
    CapLengths,
    Redact,
    Sample,
    StaticFields,
    add_severity,
    drop_none,
    flatten,
    merge_context,
)
from mozlog_py.structlog import MozlogRenderer, processors
from mozlog_py.testing import capture_lines, no_leaks
from mozlog_py.typing import FormatName, FormatterOptions, Processor, QueueOptions, Stream


def add_shop(logger: Any, method_name: str, event_dict: dict[str, Any]) -> dict[str, Any]:
    event_dict["shop"] = "x"
    return event_dict


def as_structlog_has_it(
    logger: WrappedLogger, method_name: str, event_dict: EventDict
) -> EventDict:
    return event_dict


def of_any_mapping(_: object, __: str, event_dict: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return event_dict


class Callable_:
    def __call__(self, logger: Any, name: str, event_dict: dict[str, Any]) -> dict[str, Any]:
        return event_dict


class Writer:
    def write(self, text: str) -> None:
        sys.stderr.write(text)


# -- configure() and dict_config()

mozlog_py.configure()
mozlog_py.configure("shop", level="DEBUG", format="json", stream=sys.stderr, queue=True)
mozlog_py.configure("shop", level=logging.DEBUG, format="pretty", stream=io.StringIO())
mozlog_py.configure("shop", stream="shop.log", loggers={"shop.cart": "DEBUG", "shop.db": 30})
mozlog_py.configure("shop", stream=Path("shop"), static_fields={"env": "prod"}, lean=True)
mozlog_py.configure("shop", stream=io.BytesIO(), hostname="web-1", project="shop-1")
mozlog_py.configure("shop", stream=sys.stdout.buffer)
mozlog_py.configure("shop", stream=Writer(), max_line_bytes=0)
mozlog_py.configure("shop", queue={"policy": "block", "max_bytes": 4_000_000})
mozlog_py.configure("shop", formatter_options={"timestamp": True, "rename_fields": {"a": "b"}})
mozlog_py.configure("shop", formatter_options={"fmt": ["lineno"], "json_default": repr})
mozlog_py.configure(
    "shop",
    processors=[
        add_shop,
        as_structlog_has_it,
        of_any_mapping,
        Callable_(),
        Redact(["iban"], patterns=[re.compile("x")]),
        Sample(10, keep_from="WARNING"),
        CapLengths(80),
        StaticFields(env="prod"),
        flatten,
        drop_none,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        lambda _logger, _name, event_dict: event_dict,
    ],
)

options: QueueOptions = {"flush_on_sigterm": False, "timeout": 1.5}
formatter_options: FormatterOptions = {"exc_info_as_array": True}
format_name: FormatName = "gcp"
stream: Stream | None = None
config: dict[str, Any] = mozlog_py.dict_config(
    "shop", queue=options, formatter_options=formatter_options, format=format_name, stream=stream
)


def configured(chosen: list[StructlogProcessor], ours: tuple[Processor, ...], out: TextIO) -> None:
    mozlog_py.configure("shop", processors=chosen, stream=out)
    mozlog_py.configure("shop", processors=ours)


# -- formatters and handlers

formatter = MozlogFormatter(
    ["lineno"], logger_name="shop", strict=True, defaults={"a": 1}, reserved_attrs=["args"]
)
MozlogFormatter("%(lineno)d", None, "%", "shop")
CloudFormatter(project="shop-1", logger_name="shop")
PrettyFormatter(colors=True)
dockerflow.logging.MozlogFormatter(logger_name="shop")
handler: logging.Handler = MozlogHandler(sys.stderr, name="shop", max_line_bytes=0, timeout=2)
handler.setFormatter(formatter)
MozlogHandler(Path("shop"))
queued = MozlogQueueHandler(policy="drop_newest", max_bytes=1_000_000)
is_flushed: bool = queued.flush(2.0)


class Own(MozlogFormatter):
    def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
        return super().convert_record(record)


# -- context

context.bind(user="ann", shelf=7)
context.unbind("user", "shelf")
fields: dict[str, object] = {"a": 1}
context.bind(**fields)


@context.bound(job="reindex")
def reindex(shelves: int) -> str:
    with context.bound(shelf=shelves):
        return "done"


@context.bound()
async def serve() -> int:
    return 1


done: str = reindex(7)
carried: str = context.carry(reindex)(7)

# -- structlog

chain: list[Processor] = processors("shop", before=[add_shop, Redact()], strict=True)
processors(formatter=formatter)
structlog.configure(processors=processors("shop", before=[Redact()]))
structlog.configure(processors=[MozlogRenderer("shop", hostname="web-1", output="text")])
structlog.configure(processors=[as_structlog_has_it, MozlogRenderer(formatter=formatter)])
structlog.configure(
    processors=[
        merge_context,
        StaticFields(env="prod"),
        add_severity,
        Redact(["iban"]),
        Sample(10),
        CapLengths(80),
        flatten,
        drop_none,
        structlog.processors.KeyValueRenderer(sort_keys=True),
    ]
)
of_structlog: list[StructlogProcessor] = [Redact(), Sample(4), flatten, MozlogRenderer("shop")]
structlog.stdlib.ProcessorFormatter(
    foreign_pre_chain=[merge_context, drop_none], processors=[Redact(), MozlogRenderer("shop")]
)
with structlog.testing.capture_logs([merge_context, flatten]) as events:
    first_event: Mapping[str, Any] = events[0]
redacted: dict[str, Any] = Redact()(None, "info", {"event": "x"})

# -- dockerflow

app = Flask("shop")
extension = Dockerflow(app, silenced_checks=["shop.W001"], request_id=RequestIdPolicy())
DockerflowASGI(object(), settings=Settings(), summaries=False, version_path="/app")
DockerflowWSGI(object(), request_id=RequestIdPolicy(), silenced_checks=["shop.W001"])


@checks.register("storage", timeout=2)
def storage(config: dict[str, str]) -> list[checks.CheckMessage]:
    return [checks.Error("uploads cannot be written", id="shop.storage.E001")]


# -- tests

try:
    with capture_lines("shop", level="DEBUG") as lines, no_leaks():
        first: dict[str, Any] = lines[0]
except OptionError as error:
    print(error)
