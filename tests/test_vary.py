"""``Vary`` of a response whose id the client has brought, beside what the application says."""

from typing import Any

import pytest

from dockerflow._request.vary import add_vary, merged_vary, with_id

NAME = "X-Request-Id"


@pytest.mark.parametrize(
    ("values", "merged"),
    [
        ((), NAME),
        (("",), NAME),
        (("Cookie",), f"Cookie, {NAME}"),
        (("Cookie,Accept-Encoding", "Origin"), f"Cookie, Accept-Encoding, Origin, {NAME}"),
        (("Cookie", "x-REQUEST-id"), None),
        (("*",), None),
        (("Cookie", " * "), None),
    ],
)
def test_what_is_said_already_stays(values: tuple[str, ...], merged: str | None) -> None:
    assert merged_vary(values, NAME) == merged


def test_a_response_has_one_vary_over_asgi() -> None:
    headers = [(b"Vary", b"Cookie"), (b"x", b"y"), (b"vary", b"Origin")]
    add_vary(headers, NAME, b"vary")
    assert headers == [(b"x", b"y"), (b"vary", b"Cookie, Origin, X-Request-Id")]
    before = [*headers]
    add_vary(headers, NAME, b"vary")
    assert headers == before


def test_a_response_has_one_vary_over_wsgi() -> None:
    headers = [("Vary", "Cookie"), ("x", "y"), ("vary", "Origin")]
    add_vary(headers, NAME, "Vary")
    assert headers == [("x", "y"), ("Vary", "Cookie, Origin, X-Request-Id")]
    before = [*headers]
    add_vary(headers, NAME, "Vary")
    assert headers == before


def test_headers_may_be_lists_of_any_bytes() -> None:
    headers = [[b"vary", bytearray(b"Cookie")]]
    add_vary(headers, NAME, b"vary")
    assert headers == [(b"vary", b"Cookie, X-Request-Id")]  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("is_text", [True, False])
def test_headers_with_an_id_keep_what_the_application_has_set(is_text: bool) -> None:
    def told(*pairs: tuple[str, str]) -> list[Any]:
        if is_text:
            return [*pairs]
        return [(name.encode(), value.encode()) for name, value in pairs]

    (echo,) = told((NAME.lower(), "r1"))
    (vary,) = told(("vary", ""))
    own = told(("X-REQUEST-ID", "mine"), ("a", "b"))
    assert with_id(iter(own), echo, NAME, vary[0]) == own
    plain = told(("a", "b"), ("date", "today"))
    assert with_id(iter(plain), echo, None, vary[0]) == [*plain, echo]
    assert with_id(plain, echo, NAME, vary[0]) == [*plain, echo, *told(("vary", NAME))]
    varying = told(("VARY", "Cookie"))
    merged = told(("vary", f"Cookie, {NAME}"))
    assert with_id(varying, echo, NAME, vary[0]) == [echo, *merged]
    assert with_id(varying, echo, None, vary[0]) == [*varying, echo]
    assert (plain, varying) == (told(("a", "b"), ("date", "today")), told(("VARY", "Cookie")))
