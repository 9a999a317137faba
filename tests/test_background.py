"""Work whose caller waits for a while only: the result in time, else the default."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dockerflow._request.background import result_within


async def fails() -> str:
    raise OSError("refused")


async def is_cancelled() -> str:
    raise asyncio.CancelledError


async def waits() -> str:
    await asyncio.sleep(60)
    return "late"


async def succeeds() -> str:
    await asyncio.sleep(0)
    return "done"


@pytest.mark.parametrize(
    ("work", "result"),
    [(succeeds, "done"), (fails, "default"), (is_cancelled, "default"), (waits, "default")],
)
def test_result_within_a_time_is_the_default_where_there_is_none(work: Any, result: str) -> None:
    async def ask() -> tuple[str, int]:
        got = await result_within(work(), 0.01 if work is waits else 30, "default")
        await asyncio.sleep(0)
        return got, len(asyncio.all_tasks())

    # Nothing runs on but the caller itself.
    assert asyncio.run(ask()) == (result, 1)


def test_result_within_a_time_is_none_for_a_caller_that_is_cancelled() -> None:
    async def ask() -> None:
        asking = asyncio.ensure_future(result_within(waits(), 30, "default"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(ask())
