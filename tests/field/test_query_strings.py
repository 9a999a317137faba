"""A query string is logged as its text, however its client sends it."""

import urllib.parse

import pytest
from stack import Stack

TEXTS = {"arabic": "x=شكر", "latin": "x=caf\xe9", "emoji": "x=🚀&y=2", "ascii": "x=1"}
#: granian lets bytes beyond ASCII through. The other servers refuse such a request, but
#: Werkzeug, which encodes them twice.
RAW = [
    *(("granian-wsgi", app) for app in ("flask", "bare", "django")),
    *(("granian-asgi", app) for app in ("fastapi", "bare", "django")),
]


@pytest.mark.parametrize(("server", "app"), RAW)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_raw_utf_8_is_text(stack: Stack, app: str, text: str) -> None:
    with stack.watching() as seen:
        answer = stack.ask(f"/{app}/plain?{text}".encode().decode("latin-1"))
    assert answer.status == 200
    assert seen.summary("/plain")["querystring"] == text


@pytest.mark.parametrize("app", ["flask", "bare", "django"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("server", ["gunicorn-sync", "gunicorn-gevent", "granian-wsgi"])
def test_what_is_percent_encoded_is_text_under_wsgi(stack: Stack, app: str, text: str) -> None:
    with stack.watching() as seen:
        stack.ask(f"/{app}/plain?" + urllib.parse.quote(text, safe="=&"))
    assert seen.summary("/plain")["querystring"] == text


@pytest.mark.parametrize("app", ["fastapi", "bare", "django"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "granian-asgi", "daphne"])
def test_what_is_percent_encoded_is_text_under_asgi(stack: Stack, app: str, text: str) -> None:
    with stack.watching() as seen:
        stack.ask(f"/{app}/plain?" + urllib.parse.quote(text, safe="=&"))
    assert seen.summary("/plain")["querystring"] == text
