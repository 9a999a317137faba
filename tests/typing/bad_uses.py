"""Uses that type checkers must refuse, each on a line that says by which rules.

This module is checked, and never run. Every line that is marked is wrong, and no other.
"""

import asyncio
import sys
from typing import Any

import mozlog_py
from dockerflow.asgi import DockerflowASGI
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py import MozlogFormatter, MozlogHandler, MozlogQueueHandler, context
from mozlog_py.processors import CapLengths, Redact, Sample, StaticFields
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, processors
from mozlog_py.typing import FormatterOptions, QueueOptions

# What the marks say, by name: the rules of mypy and of basedpyright.
# argument: arg-type, reportArgumentType
# call: call-arg, reportCallIssue


def returns_none(logger: Any, method_name: str, event_dict: dict[str, Any]) -> None:
    event_dict["shop"] = "x"


def takes_one(event_dict: dict[str, Any]) -> dict[str, Any]:
    return event_dict


async def in_a_coroutine(logger: Any, name: str, event_dict: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0)
    return event_dict


# -- configure() and dict_config()

mozlog_py.configure(5)  # wrong: argument
mozlog_py.configure("shop", level=1.5)  # wrong: argument
mozlog_py.configure("shop", format="xml")  # wrong: argument
mozlog_py.configure("shop", format="JSON")  # wrong: argument
mozlog_py.configure("shop", stream=5)  # wrong: argument
mozlog_py.configure("shop", stream=b"shop.log")  # wrong: argument
mozlog_py.configure("shop", loggers=["shop"])  # wrong: argument
mozlog_py.configure("shop", static_fields=["env"])  # wrong: argument
mozlog_py.configure("shop", strict="yes")  # wrong: argument
mozlog_py.configure("shop", include_context="no")  # wrong: argument
mozlog_py.configure("shop", lean="no")  # wrong: argument
mozlog_py.configure("shop", hostname=7)  # wrong: argument
mozlog_py.configure("shop", max_line_bytes="16k")  # wrong: argument
mozlog_py.configure("shop", queue=5)  # wrong: argument
mozlog_py.configure("shop", queue="block")  # wrong: argument
mozlog_py.configure("shop", colour=True)  # wrong: call
mozlog_py.configure("shop", processors=[returns_none])  # wrong: item
mozlog_py.configure("shop", processors=[takes_one])  # wrong: item
mozlog_py.configure("shop", processors=[in_a_coroutine])  # wrong: item
mozlog_py.configure("shop", processors=[Redact])  # wrong: item
mozlog_py.configure("shop", processors="flatten")  # wrong: argument
mozlog_py.dict_config("shop", strict="yes")  # wrong: argument
mozlog_py.dict_config("shop", queue=5)  # wrong: argument
size: QueueOptions = {"size": 3}  # wrong: key
policy: QueueOptions = {"policy": "wait"}  # wrong: value
bytes_: QueueOptions = {"max_bytes": "8M"}  # wrong: value
timestamps: FormatterOptions = {"timestamps": True}  # wrong: key
renames: FormatterOptions = {"rename_fields": ["a"]}  # wrong: value

# -- formatters and handlers

MozlogFormatter(5)  # wrong: argument
MozlogFormatter(strict="yes")  # wrong: argument
MozlogFormatter(style="?")  # wrong: argument
MozlogFormatter(rename_fields={"a": 1})  # wrong: entry
MozlogFormatter(processors=[takes_one])  # wrong: item
MozlogFormatter(timestamp=5)  # wrong: argument
MozlogHandler(5)  # wrong: argument
MozlogHandler(sys.stdout, 5)  # wrong: argument
MozlogHandler(max_line_bytes="16k")  # wrong: argument
MozlogHandler(timeout="1s")  # wrong: argument
MozlogQueueHandler(policy="wait")  # wrong: argument
MozlogQueueHandler(size=3)  # wrong: call

# -- context

context.bind({"user": "ann"})  # wrong: argument
context.bound({"user": "ann"})  # wrong: argument
context.unbind(["user"])  # wrong: argument
context.unbind(1)  # wrong: argument
context.carry("work")  # wrong: argument
StaticFields({"env": "prod"})  # wrong: argument

# -- processors and structlog

CapLengths("80")  # wrong: argument
Sample("10")  # wrong: argument
Redact(5)  # wrong: argument
MozlogRenderer("shop", output="json")  # wrong: argument
MozlogRenderer("shop", strict="yes")  # wrong: argument
MozlogRenderer("shop", colour=True)  # wrong: call
MozlogRenderer(MozlogFormatter())  # wrong: argument
MozlogRenderer(formatter="shop")  # wrong: argument
processors("shop", before=[returns_none])  # wrong: item
processors("shop", output="json")  # wrong: argument
processors("shop", colours=True)  # wrong: call

# -- dockerflow

DockerflowASGI(None, settings={"sentry": False})  # wrong: argument
DockerflowASGI(None, summary=True)  # wrong: call
DockerflowWSGI(None, endpoints="no")  # wrong: argument


def log(logger: FastBoundLogger) -> None:
    logger.info("hi", door=2)
    logger.bind(user="ann").warning("hi")
    logger.inform("hi")  # wrong: attribute
    logger.bind({"user": "ann"})  # wrong: positional
