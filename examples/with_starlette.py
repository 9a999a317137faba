"""A Starlette service: ``python examples/with_starlette.py``.

``PORT`` (8000), ``DATABASE`` (an SQLite file) and ``APP_DIR`` (the folder of
``version.json``) come from the environment, as do ``LOG_LEVEL`` and ``LOG_FORMAT``.
"""

import os

import sqlalchemy as sa
import structlog
import uvicorn
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import JSONResponse

import mozlog_py
from dockerflow import checks
from dockerflow.checks.databases import check_async_engine_connected
from dockerflow.starlette import DockerflowMiddleware
from dockerflow.summary import add_fields

log = structlog.get_logger("shop")

app = Starlette()
app.state.CURRENCY = os.environ.get("SHOP_CURRENCY", "EUR")
app.add_middleware(DockerflowMiddleware)

engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ.get('DATABASE', 'shop.sqlite')}")
checks.register_partial(check_async_engine_connected, engine, name="database")


@checks.register("currency", timeout=1)
async def currency_is_known(config: State) -> list[checks.CheckMessage]:
    if config.CURRENCY in ("EUR", "USD"):
        return []
    return [checks.Error(f"SHOP_CURRENCY is {config.CURRENCY!r}", id="shop.E001")]


async def index(request: Request) -> JSONResponse:
    async with engine.connect() as connection:
        answer = await connection.scalar(sa.text("SELECT 6 * 7"))
    log.info("answered", answer=answer)
    add_fields(answer=answer)  # to the request's summary
    return JSONResponse({"answer": answer})


app.add_route("/", index)


if __name__ == "__main__":
    mozlog_py.configure("shop", loggers={"uvicorn.access": "WARNING"})
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")), log_config=None)
