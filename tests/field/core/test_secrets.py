"""Credentials of real libraries' objects, through every front that writes lines."""

from __future__ import annotations

import argparse
import base64
import dataclasses
import io
import json
import logging
import types
import wsgiref.headers
from collections import UserDict, deque
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any, NamedTuple

import attrs
import httpx
import multidict
import pydantic
import pytest
import requests
import structlog
import urllib3
from conformance import checked, checked_lines
from flask import Flask, request
from starlette.datastructures import Headers as StarletteHeaders
from starlette.datastructures import MutableHeaders, QueryParams
from starlette.requests import Request
from werkzeug.datastructures import (
    Authorization,
    EnvironHeaders,
    Headers,
    ImmutableMultiDict,
    MultiDict,
)

import mozlog_py
from dockerflow.logging import MozlogFormatter as UpstreamsFormatter
from mozlog_py import context
from mozlog_py.gcp import CloudFormatter
from mozlog_py.processors import Redact
from mozlog_py.structlog import MozlogRenderer, processors

SECRET = "Bearer s3cr3t-tulip"
IN_BASE64 = (base64.b64encode(SECRET.encode()).decode(), base64.urlsafe_b64encode(SECRET.encode()))

Front = Callable[[Any], str]


@pytest.fixture(autouse=True)
def as_it_was(untouched_process: None) -> None:
    """Leave nothing of what ``configure`` has set."""


def configured(**options: Any) -> io.StringIO:
    out = io.StringIO()
    mozlog_py.configure("shop", stream=out, processors=[Redact()], **options)
    return out


def by_logging(value: Any) -> str:
    out = configured()
    logging.getLogger("shop").info("in", extra={"what": value})
    return out.getvalue()


def by_cloud_format(value: Any) -> str:
    out = configured(format="gcp")
    logging.getLogger("shop").info("in", extra={"what": {"deep": [value]}})
    return out.getvalue()


def by_fast_logger(value: Any) -> str:
    out = configured()
    log = structlog.get_logger("shop")
    log.info("in", what=value)
    log.bind(what=value).info("in")
    return out.getvalue()


def by_context(value: Any) -> str:
    out = configured()
    with context.bound(what=value):
        logging.getLogger("shop").info("in")
        structlog.get_logger("shop").info("in")
    return out.getvalue()


def by_queue(value: Any) -> str:
    out = configured(queue=True)
    logging.getLogger("shop").info("in", extra={"what": value})
    for handler in logging.getLogger().handlers:
        handler.flush()
    return out.getvalue()


def by_chain(value: Any) -> str:
    out = io.BytesIO()
    chain = processors("shop", before=[Redact()])
    structlog.wrap_logger(structlog.BytesLogger(out), chain).info("in", what=value)
    return out.getvalue().decode()


def by_message_that_is_a_dict(value: Any) -> str:
    out = configured()
    logging.getLogger("shop").info({"what": value})
    structlog.get_logger("shop").info({"what": value})
    return out.getvalue()


FRONTS = [
    by_logging, by_cloud_format, by_fast_logger, by_context, by_queue, by_chain,
    by_message_that_is_a_dict,
]  # fmt: skip

PAIRS = [("Authorization", SECRET), ("X-Shop", "book")]
RAW = [(name.lower().encode(), value.encode()) for name, value in PAIRS]


def mail() -> EmailMessage:
    made = EmailMessage()
    for name, value in PAIRS:
        made[name] = value
    return made


HEADERS = {
    "werkzeug": lambda: Headers(PAIRS),
    "werkzeug's of an environ": lambda: EnvironHeaders(
        {"HTTP_AUTHORIZATION": SECRET, "HTTP_X_SHOP": "book"}
    ),
    "wsgiref": lambda: wsgiref.headers.Headers([*PAIRS]),
    "email": mail,
    "Starlette": lambda: StarletteHeaders(raw=RAW),
    "Starlette's mutable": lambda: MutableHeaders(raw=[*RAW]),
    "Starlette's of a request": lambda: Request({"type": "http", "headers": RAW}).headers,
    "httpx": lambda: httpx.Headers(PAIRS),
    "httpx's of a response": lambda: httpx.Response(200, headers=PAIRS).headers,
    "requests": lambda: requests.Request("GET", "http://a/", dict(PAIRS)).prepare().headers,
    "urllib3": lambda: urllib3.HTTPHeaderDict(PAIRS),
    "multidict": lambda: multidict.CIMultiDict(PAIRS),
    "multidict's proxy": lambda: multidict.CIMultiDictProxy(multidict.CIMultiDict(PAIRS)),
    "a UserDict": lambda: UserDict(PAIRS),
}

FORMS = {
    "werkzeug": lambda: MultiDict({"password": SECRET, "shop": "book"}),
    "werkzeug's of a request": lambda: ImmutableMultiDict([("password", SECRET), ("shop", "book")]),
    "Starlette's query": lambda: QueryParams([("access_token", SECRET), ("shop", "book")]),
    "httpx's query": lambda: httpx.QueryParams([("api_key", SECRET), ("shop", "book")]),
    "multidict": lambda: multidict.MultiDict([("sid", SECRET), ("shop", "book")]),
}

SEQUENCES = {
    "an ASGI scope's list": lambda: RAW,
    "a tuple of them": lambda: tuple(RAW),
    "a scope": lambda: {"type": "http", "headers": RAW},
    "lists": lambda: [[*pair] for pair in PAIRS],
    "WSGI's of start_response": lambda: [*PAIRS],
    "httpx's raw ones": lambda: httpx.Headers(PAIRS).raw,
    "an items view": lambda: dict(PAIRS).items(),
    "a values view": lambda: {"headers": dict(PAIRS)}.values(),
    "multidict's items view": lambda: multidict.MultiDict(PAIRS).items(),
    "a deque": lambda: deque(PAIRS),
    "a set": lambda: {*PAIRS},
}


def check(front: Front, value: Any) -> list[Any]:
    """Log a value and return what its lines show, which is not the secret in any dress."""
    text = front(value)
    assert not any(str(dress) in text for dress in (SECRET, "s3cr3t", *IN_BASE64))
    lines = checked_lines(text)
    assert lines
    return [line["Fields"]["what"] for line in lines]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("of", HEADERS)
def test_headers_of_any_library_are_an_object_without_credentials(front: Front, of: str) -> None:
    for shown in check(front, HEADERS[of]()):
        members = shown["deep"][0] if front is by_cloud_format else shown
        assert {name.lower(): value for name, value in members.items()} == {
            "authorization": "[redacted]", "x-shop": "book",
        }  # fmt: skip


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("of", FORMS)
def test_forms_and_queries_are_an_object_without_credentials(front: Front, of: str) -> None:
    for shown in check(front, FORMS[of]()):
        members = shown["deep"][0] if front is by_cloud_format else shown
        assert sorted(members.values()) == ["[redacted]", "book"]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("of", SEQUENCES)
def test_pairs_in_any_sequence_have_no_credentials(front: Front, of: str) -> None:
    for shown in check(front, SEQUENCES[of]()):
        assert "[redacted]" in json.dumps(shown)
        assert "book" in json.dumps(shown) or "Ym9vaw==" in json.dumps(shown)


@pytest.mark.parametrize("of", {**HEADERS, **FORMS})
def test_redaction_changes_no_type_of_what_is_logged(of: str) -> None:
    made = (HEADERS.get(of) or FORMS[of])()
    out = io.StringIO()
    mozlog_py.configure("shop", stream=out)
    logging.getLogger("shop").info("in", extra={"what": made})
    (line,) = checked_lines(out.getvalue())
    (redacted,) = check(by_logging, made)
    assert [*line["Fields"]["what"]] == [*redacted]
    assert {*map(type, line["Fields"]["what"].values())} == {str}


def test_flask_request_as_a_view_logs_it() -> None:
    app = Flask("shop")
    out = configured()

    @app.post("/login")
    def login() -> str:
        logging.getLogger("shop").info(
            "in",
            extra={
                "headers": request.headers, "form": request.form, "query": request.args,
                "jar": request.cookies, "all": request.values,
            },
        )  # fmt: skip
        return ""

    client = app.test_client()
    client.set_cookie("sessionid", "s3cr3t")
    client.post(
        "/login?token=s3cr3t&page=1&page=2",
        data={"password": "s3cr3t", "user": "ann"},
        headers={"Authorization": "s3cr3t"},
    )
    assert "s3cr3t" not in out.getvalue()
    shown = next(
        each["Fields"] for each in checked_lines(out.getvalue()) if "form" in each["Fields"]
    )
    assert shown["form"] == {"password": "[redacted]", "user": "ann"}
    assert shown["query"] == {"token": "[redacted]", "page": ["1", "2"]}
    assert shown["jar"] == {"sessionid": "[redacted]"}
    assert shown["headers"]["Cookie"] == shown["headers"]["Authorization"] == "[redacted]"


@attrs.frozen
class AttrsLogin:
    user: str
    password: str


class PydanticLogin(pydantic.BaseModel):
    user: str
    password: str


class PydanticSecret(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr


@dataclasses.dataclass(frozen=True)
class DataLogin:
    user: str
    password: str


class TupleLogin(NamedTuple):
    user: str
    password: str


class OwnLogin:
    def __init__(self, user: str, password: str) -> None:
        self.user, self._password = user, password

    def __repr__(self) -> str:
        return f"<OwnLogin {self.user}:{self._password}>"


class HiddenLogin(OwnLogin):
    def __repr__(self) -> str:
        return f"<HiddenLogin {self.user}>"


OBJECTS = {
    AttrsLogin: "AttrsLogin(user='ann', password='[redacted]')",
    PydanticLogin: "PydanticLogin(user='ann', password='[redacted]')",
    PydanticSecret: "PydanticSecret(user='ann', password='[redacted]')",
    types.SimpleNamespace: "namespace(user='ann', password='[redacted]')",
    argparse.Namespace: "Namespace(user='ann', password='[redacted]')",
    OwnLogin: "<OwnLogin [redacted]>",
    HiddenLogin: "<HiddenLogin ann>",
    DataLogin: {"user": "ann", "password": "[redacted]"},
    TupleLogin: ["ann", "[redacted]"],
}


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_show_their_attributes_but_for_credentials(front: Front, kind: Any) -> None:
    login = kind(user="ann", password=SECRET)
    expected = OBJECTS[kind]
    for shown in check(front, login):
        assert (shown["deep"][0] if front is by_cloud_format else shown) == expected
    for shown in check(front, {"deep": {"logins": [login]}}):
        inner = shown["deep"][0] if front is by_cloud_format else shown
        assert inner == {"deep": {"logins": [expected]}}


@pytest.mark.parametrize("front", FRONTS)
def test_objects_within_the_text_of_another_show_no_credentials(front: Front) -> None:
    for kind in OBJECTS:
        login = kind(user="ann", password=SECRET)
        for outer in (types.SimpleNamespace(login=login), deque([login]), AttrsLogin(login, "x")):
            check(front, outer)


def row_of(columns: str) -> Any:
    """Return a row of SQLAlchemy's: a named tuple that is no tuple."""
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
    engine = sqlalchemy.create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            return connection.execute(sqlalchemy.text(f"select {columns}")).one()
    finally:
        engine.dispose()


@pytest.mark.parametrize("front", FRONTS)
def test_objects_that_are_rows_of_sqlalchemy_show_no_credentials(front: Front) -> None:
    row = row_of(f"'ann' as user, '{SECRET}' as password")
    for value in (row, [row], {"rows": (row, row)}, deque([row])):
        for shown in check(front, value):
            assert "ann" in json.dumps(shown)
            assert "[redacted]" in json.dumps(shown)


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    "columns",
    [
        f"'db_password' as name, '{SECRET}' as value",
        f"'ann' as user, '{{''password'': ''{SECRET}''}}' as settings",
    ],
    ids=["a name and its value", "a text with names"],
)
def test_objects_that_are_rows_of_names_and_values_show_no_credentials(
    front: Front, columns: str
) -> None:
    row = row_of(columns)
    for value in (row, [row]):
        check(front, value)


def test_objects_that_are_rows_without_credentials_stay_as_they_are() -> None:
    event = {"event": "in", "row": row_of("'ann' as user, 7 as n")}
    assert Redact()(None, "info", dict(event))["row"] is event["row"]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_objects_that_are_credentials_are_hidden_under_any_name(front: Front, kind: str) -> None:
    known = (
        Authorization("basic", {"username": "ann", "password": SECRET})
        if kind == "basic"
        else Authorization("bearer", token="s3cr3t-tulip")
    )
    for value in (known, [known], {"request": {"by": known}}):
        for shown in check(front, value):
            assert base64.b64encode(f"ann:{SECRET}".encode()).decode() not in json.dumps(shown)
            assert "<Authorization [redacted]>" in json.dumps(shown)


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    ("name", "value"), [("name", "value"), ("key", "value"), ("Name", "Value"), ("Key", "Value")]
)
def test_pairs_that_are_objects_have_no_credentials(front: Front, name: str, value: str) -> None:
    pairs = [
        {name: "DB_PASSWORD", value: SECRET, "type": "text"},
        {name: "shop", value: "book"},
        {name: "password", value: None},
        {value: "book"},
    ]
    for shown in check(front, {"env": pairs}):
        members = shown["deep"][0] if front is by_cloud_format else shown
        assert members == {"env": [{**pairs[0], value: "[redacted]"}, *pairs[1:]]}


NAMES = """
DB_PASS password1 new_password2 PGPASSWORD clientSecret X-Goog-IAP-JWT-Assertion csrftoken
connect.sid X-Hub-Signature-256 api_keys password_confirmation passwordConfirm password_repeat
passcode PHPSESSID encryption_key X-Auth-Key Ocp-Apim-Subscription-Key code_verifier SAMLResponse
""".split()  # noqa: SIM905 - a list of names is easier to read so


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("wrap", [dict, lambda of: [*of.items()], Headers, UserDict])
def test_names_that_services_use_are_redacted_wherever_they_stand(front: Front, wrap: Any) -> None:
    harmless = {"tokens": "7", "author": "ann", "keyboard": "de", "compass": "n"}
    for shown in check(front, wrap({**dict.fromkeys(NAMES, SECRET), **harmless})):
        text = json.dumps(shown)
        assert text.count("[redacted]") == len(NAMES)
        assert all(f'"{value}"' in text for value in harmless.values())


class Liar(type):
    def __hash__(cls) -> int:
        return hash(str)

    def __eq__(cls, other: object) -> bool:
        return True


class LyingDict(dict[str, Any], metaclass=Liar):
    pass


class LyingUserDict(UserDict, metaclass=type("Both", (Liar, type(UserDict)), {})):  # type: ignore[type-arg, misc]
    pass


class LyingList(list[Any], metaclass=Liar):
    pass


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    "value",
    [
        LyingDict(password=SECRET), LyingUserDict(password=SECRET), LyingList(PAIRS),
        {"deep": [LyingDict(password=SECRET)]}, UserDict(a=LyingDict(password=SECRET)),
        types.SimpleNamespace(a=LyingDict(password=SECRET)),
    ],
    ids=str,
)  # fmt: skip
def test_a_class_that_passes_for_text_hides_no_credentials(front: Front, value: Any) -> None:
    for shown in check(front, value):
        assert "[redacted]" in json.dumps(shown)


class Override:
    """Takes the credentials out of Fields, and needs the values as they were logged."""

    def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
        out = super().convert_record(record)  # type: ignore[misc]
        fields = out["Fields"]
        pairs = fields.pop("headers")
        fields["headers"] = {
            name.decode(): value.decode() for name, value in pairs if name != b"authorization"
        }
        fields["uid"] = fields.pop("user").id
        return out  # type: ignore[no-any-return]


class Upstreams(Override, UpstreamsFormatter):
    pass


class Cloud(Override, CloudFormatter):
    pass


def by_plain_handler(formatter: Any, extra: dict[str, Any]) -> str:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logger = logging.Logger("web")
    logger.addHandler(handler)
    logger.info("in", extra=extra)
    return out.getvalue()


def by_our_handler(formatter: Any, extra: dict[str, Any]) -> str:
    out = io.StringIO()
    handler = mozlog_py.MozlogHandler(out)
    handler.setFormatter(formatter)
    logger = logging.Logger("web")
    logger.addHandler(handler)
    logger.info("in", extra=extra)
    return out.getvalue()


def by_renderer(formatter: Any, extra: dict[str, Any]) -> str:
    line = MozlogRenderer(formatter=formatter)(None, "info", {"event": "in", **extra})
    assert isinstance(line, bytes)
    return f"{line.decode()}\n"


@pytest.fixture(params=[by_plain_handler, by_our_handler, by_renderer])
def by(request: pytest.FixtureRequest) -> Iterator[Any]:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", [Upstreams, Cloud])
def test_an_override_of_convert_record_sees_what_was_logged(kind: Any, by: Any) -> None:
    user = types.SimpleNamespace(id=7, password=SECRET)
    text = by(kind(logger_name="shop"), {"headers": RAW, "user": user, "raw": {1}})
    assert "s3cr3t" not in text
    assert checked(text.removesuffix("\n"))["Fields"] == {
        "headers": {"x-shop": "book"}, "uid": 7, "raw": "{1}", "msg": "in",
    }  # fmt: skip


@pytest.mark.parametrize("kind", [Upstreams, Cloud])
@pytest.mark.parametrize("extra", [{"headers": RAW}, {"headers": [("authorization", SECRET)]}, {}])
def test_a_failed_override_of_convert_record_leaves_the_message_alone(
    kind: Any, by: Any, extra: Any
) -> None:
    text = by(kind(logger_name="shop"), {**extra, "user": None, "card": SECRET})
    assert not any(str(dress) in text for dress in (SECRET, *IN_BASE64))
    fields = checked(text.removesuffix("\n"))["Fields"]
    assert [*fields] == ["msg", "mozlog.degraded"]
    assert (fields["msg"], fields["mozlog.degraded"][:22]) == ("in", "convert_record raised ")


def test_what_an_override_adds_is_redacted() -> None:
    class Adding(UpstreamsFormatter):
        def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
            out = super().convert_record(record)
            out["Fields"]["sent"] = Headers(PAIRS)
            return {**out, "api_key": SECRET}

    text = by_plain_handler(Adding(processors=[Redact()]), {"again": AttrsLogin("ann", SECRET)})
    line = checked(text.removesuffix("\n"))
    assert line["api_key"] == "[redacted]"
    assert line["Fields"] == {
        "again": "AttrsLogin(user='ann', password='[redacted]')",
        "sent": {"Authorization": "[redacted]", "X-Shop": "book"}, "msg": "in",
    }  # fmt: skip
