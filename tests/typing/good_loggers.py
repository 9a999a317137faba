"""Uses of bound loggers that type checkers must take. This module is checked, and never run."""

from typing import Any

import structlog

from mozlog_py.structlog import FastBoundLogger

log: FastBoundLogger = structlog.get_logger("shop")
log.debug("hi")
log.info("%s paid", "Ann", amount=12.5)
log.warning("low", shelf=7)
log.error("refused", exc_info=True)
log.critical("gone")
log.exception("failed")
log.log("INFO", "hi")
log.log(25, "hi", door=2)
log = log.bind(user="ann").unbind("user").try_unbind("cart").new(job="reindex")
is_heard: bool = log.is_enabled_for(10)
kind: type[FastBoundLogger] = FastBoundLogger.at("DEBUG")


async def serve() -> Any:
    await log.ainfo("hi", door=2)
    return await log.aexception("failed")
