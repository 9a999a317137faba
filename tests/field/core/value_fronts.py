"""One call through each front: its line, parsed and checked."""

import io
import logging
import tempfile
from collections.abc import Callable
from typing import Any

import structlog
from conformance import checked_lines

from mozlog_py import MozlogFormatter, MozlogHandler
from mozlog_py.gcp import CloudFormatter
from mozlog_py.processors import drop_none
from mozlog_py.queued import MozlogQueueHandler
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory, processors

Front = Callable[..., dict[str, Any]]


class Stepping(MozlogFormatter):
    """A hook, so that no record goes the fast way."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return log_data


def by_handler(
    formatter: logging.Formatter,
    message: Any,
    *args: Any,
    exc_info: Any = None,
    kind: type[MozlogHandler] = MozlogHandler,
    **extra: Any,
) -> dict[str, Any]:
    stream = io.StringIO()
    handler = kind(stream, "shop")
    handler.setFormatter(formatter)
    logger = logging.Logger("app", 1)
    logger.addHandler(handler)
    logger.error(message, *args, exc_info=exc_info, extra=extra)
    handler.close()
    (line,) = checked_lines(stream.getvalue())
    return line


def by_chain(chain: list[Any], message: Any, *args: Any, **fields: Any) -> dict[str, Any]:
    stream = io.BytesIO()
    log = structlog.wrap_logger(structlog.BytesLogger(stream), processors=chain)
    if args:
        fields["positional_args"] = args
    log.error(message, **fields)
    (line,) = checked_lines(stream.getvalue())
    return line


def by_fast_logger(message: Any, *args: Any, **fields: Any) -> dict[str, Any]:
    with tempfile.TemporaryFile(buffering=0) as file:
        factory = SinkLoggerFactory(Sink(file))
        FastBoundLogger.at(1)(factory("app"), processors("shop"), {}).error(
            message, *args, **fields
        )
        file.seek(0)
        (line,) = checked_lines(file.read())
    return line


def by_processor_formatter(message: Any, *args: Any, **extra: Any) -> dict[str, Any]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[MozlogRenderer("shop", output="text")],
            foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        )
    )
    logger = logging.Logger("app", 1)
    logger.addHandler(handler)
    exc_info = extra.pop("exc_info", None)
    logger.error(message, *args, exc_info=exc_info, extra=extra)
    (line,) = checked_lines(stream.getvalue())
    return line


FRONTS: dict[str, Front] = {
    "formatter": lambda *a, **k: by_handler(MozlogFormatter(), *a, **k),
    "formatter with a hook": lambda *a, **k: by_handler(Stepping(), *a, **k),
    "formatter with processors": lambda *a, **k: by_handler(
        MozlogFormatter(processors=[drop_none]), *a, **k
    ),
    "strict": lambda *a, **k: by_handler(MozlogFormatter(strict=True), *a, **k),
    "gcp": lambda *a, **k: by_handler(CloudFormatter(), *a, **k),
    "queue": lambda *a, **k: by_handler(MozlogFormatter(), *a, kind=MozlogQueueHandler, **k),
    "chain": lambda *a, **k: by_chain([MozlogRenderer("shop")], *a, **k),
    "chain for a formatter with a hook": lambda *a, **k: by_chain(
        [MozlogRenderer(formatter=Stepping(logger_name="shop"))], *a, **k
    ),
    "gcp chain": lambda *a, **k: by_chain([MozlogRenderer(formatter=CloudFormatter())], *a, **k),
    "fast logger": by_fast_logger,
    "ProcessorFormatter": by_processor_formatter,
}
