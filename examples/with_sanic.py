"""A Sanic service: ``python examples/with_sanic.py``.

``PORT`` (8000), ``DATABASE`` (an SQLite file) and ``APP_DIR`` (the folder of
``version.json``) come from the environment, as do ``LOG_LEVEL`` and ``LOG_FORMAT``.
"""

import os

import sqlalchemy as sa
import structlog
from sanic import HTTPResponse, Request, Sanic, json
from sanic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine

import mozlog_py
from dockerflow import checks
from dockerflow.checks.databases import check_async_engine_connected
from dockerflow.sanic import Dockerflow

log = structlog.get_logger("shop")

app = Sanic("shop", configure_logging=False)
app.config.CURRENCY = os.environ.get("SHOP_CURRENCY", "EUR")
Dockerflow(app, version_path=os.environ.get("APP_DIR", "."))

engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ.get('DATABASE', 'shop.sqlite')}")
checks.register_partial(check_async_engine_connected, engine, name="database")


@checks.register("currency", timeout=1)
async def currency_is_known(config: Config) -> list[checks.CheckMessage]:
    if config.CURRENCY in ("EUR", "USD"):
        return []
    return [checks.Error(f"SHOP_CURRENCY is {config.CURRENCY!r}", id="shop.E001")]


@app.get("/")
async def index(request: Request) -> HTTPResponse:
    async with engine.connect() as connection:
        answer = await connection.scalar(sa.text("SELECT 6 * 7"))
    log.info("answered", answer=answer)
    return json({"answer": answer})


if __name__ == "__main__":
    mozlog_py.configure("shop")
    app.run(
        port=int(os.environ.get("PORT", "8000")),
        access_log=False,
        motd=False,
        single_process=True,
    )
