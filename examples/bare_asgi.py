"""An ASGI application without a framework: ``python examples/bare_asgi.py``.

``PORT`` (8000), ``DATABASE`` (an SQLite file) and ``APP_DIR`` (the folder of
``version.json``) come from the environment, as do ``LOG_LEVEL`` and ``LOG_FORMAT``.
"""

import os
from typing import Any

import sqlalchemy as sa
import structlog
import uvicorn
from sqlalchemy.ext.asyncio import create_async_engine

import mozlog_py
from dockerflow import checks
from dockerflow.asgi import DockerflowASGI
from dockerflow.checks.databases import check_async_engine_connected
from dockerflow.checks.disk import check_disk_space

log = structlog.get_logger("shop")

engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ.get('DATABASE', 'shop.sqlite')}")
checks.register_partial(check_async_engine_connected, engine, name="database")
checks.register_partial(check_disk_space, os.curdir, 1 << 20, name="disk")


@checks.register("currency")
async def currency_is_known(config: dict[str, str]) -> list[checks.CheckMessage]:
    if config["currency"] in ("EUR", "USD"):
        return []
    return [checks.Error(f"SHOP_CURRENCY is {config['currency']!r}", id="shop.E001")]


async def shop(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    status, body = 404, b"not found\n"
    if scope["path"] == "/":
        async with engine.connect() as connection:
            answer = await connection.scalar(sa.text("SELECT 6 * 7"))
        log.info("answered", answer=answer)
        status, body = 200, b'{"answer": %d}' % answer
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


app = DockerflowASGI(shop, config={"currency": os.environ.get("SHOP_CURRENCY", "EUR")})

if __name__ == "__main__":
    mozlog_py.configure("shop", loggers={"uvicorn.access": "WARNING"})
    port = int(os.environ.get("PORT", "8000"))
    uvicorn.run(app, port=port, lifespan="off", log_config=None)
