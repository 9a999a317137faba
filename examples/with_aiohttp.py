"""An aiohttp service: ``python examples/with_aiohttp.py``.

``PORT`` (8000), ``DATABASE`` (an SQLite file) and ``APP_DIR`` (the folder of
``version.json``) come from the environment, as do ``LOG_LEVEL`` and ``LOG_FORMAT``.
"""

import os

import sqlalchemy as sa
import structlog
from aiohttp import web
from sqlalchemy.ext.asyncio import create_async_engine

import dockerflow.aiohttp
import mozlog_py
from dockerflow import checks
from dockerflow.checks.databases import check_async_engine_connected
from dockerflow.summary import add_fields

log = structlog.get_logger("shop")

app = web.Application()
config = {"CURRENCY": os.environ.get("SHOP_CURRENCY", "EUR")}
dockerflow.aiohttp.setup(app, config=config)

engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ.get('DATABASE', 'shop.sqlite')}")
checks.register_partial(check_async_engine_connected, engine, name="database")


@checks.register("currency", timeout=1)
async def currency_is_known(config: dict[str, str]) -> list[checks.CheckMessage]:
    currency = config["CURRENCY"]
    if currency in ("EUR", "USD"):
        return []
    return [checks.Error(f"SHOP_CURRENCY is {currency!r}", id="shop.E001")]


async def index(request: web.Request) -> web.Response:
    async with engine.connect() as connection:
        answer = await connection.scalar(sa.text("SELECT 6 * 7"))
    log.info("answered", answer=answer)
    add_fields(answer=answer)  # to the request's summary
    return web.json_response({"answer": answer})


app.router.add_get("/", index)


if __name__ == "__main__":
    mozlog_py.configure("shop", loggers={"aiohttp.access": "WARNING"})
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")), print=None)
