"""One call of one object's method is watched, and the object is as before behind it."""

from __future__ import annotations

import asyncio

import pytest

from dockerflow._request.watched_call import unwatch, watch_next_call


class Response:
    """A response of a framework, as far as it is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, part: str, *, is_last: bool = False) -> int:
        """Send a part, and return the number of its bytes."""
        if part == "cut":
            raise ConnectionResetError(part)
        self.sent.append(f"{part} last" if is_last else part)
        return len(part)


def test_a_watched_call_gets_its_arguments_and_gives_its_result() -> None:
    response, seen = Response(), []

    def called(part: str, **options: bool) -> None:
        seen.append((part, options, [*response.sent]))

    watch_next_call(response, "send", called=called, returned=lambda: seen.append([*response.sent]))
    assert asyncio.run(response.send("ab", is_last=True)) == 2
    assert seen == [("ab", {"is_last": True}, []), ["ab last"]]


def test_a_watched_call_that_raises_is_told_before_its_caller() -> None:
    response, seen = Response(), []
    watch_next_call(response, "send", returned=lambda: seen.append("sent"), raised=seen.append)

    async def send() -> None:
        try:
            await response.send("cut")
        except ConnectionResetError as error:
            seen.append(f"caller: {error}")

    asyncio.run(send())
    assert [repr(each) for each in seen] == ["ConnectionResetError('cut')", "'caller: cut'"]


@pytest.mark.parametrize("is_called", [True, False])
def test_a_method_is_the_objects_own_again_when_it_was_called_or_is_not_watched(
    is_called: bool,
) -> None:
    response, seen = Response(), []
    watch_next_call(response, "send", returned=lambda: seen.append("sent"))
    assert "send" in vars(response)
    if is_called:
        asyncio.run(response.send("a"))
    else:
        unwatch(response, "send", "close")
    assert "send" not in vars(response)
    asyncio.run(response.send("b"))
    assert seen == (["sent"] if is_called else [])
