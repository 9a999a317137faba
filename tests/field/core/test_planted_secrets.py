"""Ten thousand secrets are planted in lines of every front, and none comes out.

Eight carriers, where a secret stands in a call, by twelve shapes, how it is written there.
The other half: of many clean lines hardly one is touched.
"""

import asyncio
import base64
import gc
import io
import itertools
import json
import linecache
import logging
import random
import string
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import pytest
import structlog
from conformance import checked_lines

from mozlog_py import MozlogFormatter, MozlogHandler
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.queued import MozlogQueueHandler
from mozlog_py.redaction import Redact
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory, processors

PLANTED = 10_000
CLEAN = 100_000
LETTERS = string.ascii_letters + string.digits
URL_SAFE = LETTERS + "-_"
PRINTABLE = LETTERS + "!#$%&()*+,-./:;<=>?@[]^_{|}~\"'\\ é"


class Planted(NamedTuple):
    """One secret."""

    #: What the call has in it.
    text: str
    #: What is registered.
    values: tuple[str, ...]
    #: No part of the output may hold one of these.
    parts: tuple[str, ...]


Shape = Callable[[random.Random], Planted]


def some(rng: random.Random, alphabet: str, size: int) -> str:
    return "".join(rng.choices(alphabet, k=size))


def secret(rng: random.Random) -> str:
    """Return a password as a password manager makes it, of eight to forty characters."""
    inner = some(rng, PRINTABLE, rng.randint(6, 38))
    # No white space around it, which is not taken for a part of a secret.
    return f"{rng.choice(LETTERS)}{inner}{rng.choice(LETTERS)}"


@pytest.fixture(autouse=True)
def no_mask_is_left() -> Iterator[None]:
    """Let no mask of an earlier test see the lines of the next one."""
    gc.collect()
    yield
    gc.collect()


# -- shapes ---------------------------------------------------------------------


def as_it_is(rng: random.Random) -> Planted:
    made = secret(rng)
    return Planted(made, (made,), (made,))


def escaped(rng: random.Random) -> Planted:
    """Return one in JSON, once or several times over, or in a repr."""
    made = secret(rng)
    text = made
    for _ in range(rng.randint(1, 3)):
        text = json.dumps([text], ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.3:
        text = repr([made])
    return Planted(text, (made,), (text.strip('[]"\\'), made))


def percent_encoded(rng: random.Random) -> Planted:
    made = secret(rng)
    text = rng.choice([quote, quote_plus])(made, safe=rng.choice(["", "/", "/:@!$()*,;"]))
    if rng.random() < 0.3:
        text = quote(text, safe="")
    if rng.random() < 0.3:
        text = text.replace("%2F", "%2f").replace("%3D", "%3d").replace("%C3%A9", "%c3%a9")
    return Planted(text, (made,), (text, made))


def in_base64(rng: random.Random) -> Planted:
    """Return one in the base64 of a user's name and a password."""
    made = secret(rng)
    user = some(rng, LETTERS, rng.randint(1, 9))
    encode = rng.choice([base64.b64encode, base64.urlsafe_b64encode])
    text = encode(f"{user}:{made}".encode()).decode()
    return Planted(f"Basic {text}", (made,), (text[-12:-4], text[-20:]))


def of_several_lines(rng: random.Random) -> Planted:
    lines = [some(rng, LETTERS + "+/", 24) for _ in range(3)]
    value = "\n".join(lines) if rng.random() < 0.5 else "\\n".join(lines)
    text = rng.choice(["\n", "\r\n", "\\n", "\n    ", "%0A", "; "]).join(lines)
    return Planted(text, (value,), tuple(lines))


def by_pattern(rng: random.Random) -> Planted:
    made = f"emp-{some(rng, string.digits, 9)}"
    return Planted(made, (), (made,))


def of_a_cloud(rng: random.Random) -> Planted:
    made = rng.choice(
        [
            rng.choice(["AKIA", "ASIA"]) + some(rng, string.ascii_uppercase + "234567", 16),
            "AIza" + some(rng, URL_SAFE, 35),
            "ya29." + some(rng, URL_SAFE, 60),
            "GOCSPX-" + some(rng, URL_SAFE, 28),
            "hvs." + some(rng, URL_SAFE, 90),
            "dop_v1_" + some(rng, "0123456789abcdef", 64),
        ]
    )
    return Planted(made, (), (made, made[-12:]))


def of_a_forge(rng: random.Random) -> Planted:
    made = rng.choice(
        [
            f"gh{rng.choice('pousr')}_" + some(rng, LETTERS, 36),
            "github_pat_" + some(rng, LETTERS, 22) + "_" + some(rng, LETTERS, 59),
            "glpat-" + some(rng, URL_SAFE, 20),
            "npm_" + some(rng, LETTERS, 36),
            "pypi-AgEIcHlwaS5vcmc" + some(rng, URL_SAFE, 150),
            "dckr_pat_" + some(rng, URL_SAFE, 27),
        ]
    )
    return Planted(made, (), (made, made[-12:]))


def of_a_payment(rng: random.Random) -> Planted:
    """Return one of a service for payments or messages."""
    made = rng.choice(
        [
            rng.choice(["sk_live_", "rk_live_", "sk_test_"]) + some(rng, LETTERS, 24),
            "whsec_" + some(rng, LETTERS + "+/", 32),
            "sq0csp-" + some(rng, URL_SAFE, 43),
            "shpat_" + some(rng, "0123456789abcdef", 32),
            f"xox{rng.choice('abpr')}-{some(rng, string.digits, 12)}-{some(rng, LETTERS, 24)}",
            f"SG.{some(rng, URL_SAFE, 22)}.{some(rng, URL_SAFE, 43)}",
            "SK" + some(rng, "0123456789abcdef", 32),
        ]
    )
    return Planted(made, (), (made, made[-12:]))


def jwt(rng: random.Random) -> Planted:
    head = json.dumps({"alg": "HS256", "kid": some(rng, LETTERS, rng.randint(1, 40))})
    body = json.dumps({"sub": str(rng.random())})
    parts = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (head, body)]
    made = ".".join([*parts, some(rng, URL_SAFE, 43)])
    return Planted(made, (), (*made.split("."), made[-12:]))


def private_key(rng: random.Random) -> Planted:
    kind = rng.choice(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    lines = [some(rng, LETTERS + "+/", 64) for _ in range(3)]
    end = rng.choice(["\n", "\\n", "\r\n"])
    made = end.join(
        [f"-----BEGIN {kind}PRIVATE KEY-----", *lines, f"-----END {kind}PRIVATE KEY-----"]
    )
    return Planted(made, (), tuple(lines))


def in_a_url(rng: random.Random) -> Planted:
    made = some(rng, URL_SAFE, 20)
    name = rng.choice(["access_token", "sig", "X-Amz-Signature", "client_secret", "api_key"])
    text = rng.choice(
        [
            f"postgresql://shop:{made}@db.internal:5432/shop?sslmode=require",
            f"redis://:{made}@cache:6379/0",
            f"https://{made}:x-oauth-basic@forge.example/shop.git",
            f"https://api.example/v1/items?page=2&{name}={made}&sort=asc",
            f"https://api.example/callback#{name}={made}",
        ]
    )
    if rng.random() < 0.3:
        text = f"https://login.example/?next={quote(text, safe='')}"
    return Planted(text, (), (made,))


SHAPES: list[Shape] = [
    as_it_is,
    escaped,
    percent_encoded,
    in_base64,
    of_several_lines,
    by_pattern,
    of_a_cloud,
    of_a_forge,
    of_a_payment,
    jwt,
    private_key,
    in_a_url,
]

# -- carriers ---------------------------------------------------------------------


class Call(NamedTuple):
    """What a log call is given."""

    message: str = "it happened"
    args: tuple[Any, ...] = ()
    fields: dict[str, Any] = {}
    error: Exception | None = None


def in_message(text: str) -> Call:
    return Call(f"before {text} behind")


def in_args(text: str) -> Call:
    return Call("%s of %d", (f"<{text}>", 7))


def in_field(text: str) -> Call:
    return Call(fields={"note": text, "count": 3})


def in_nested(text: str) -> Call:
    return Call(fields={"job": {"steps": [{"argv": ["serve", "--with", text]}, {"n": 1.5}]}})


def in_header_pair(text: str) -> Call:
    return Call(fields={"headers": [("accept", "*/*"), ("x-note", text)]})


def in_url(text: str) -> Call:
    return Call(fields={"url": f"https://shop.example/a/b?page=2&next={text}#top"})


def in_exception(text: str) -> Call:
    try:
        try:
            raise LookupError(f"no {text} here")
        except LookupError as error:
            raise ValueError("wrapped", {"text": text}) from error
    except ValueError as error:
        return Call(error=error)


def in_source_line(text: str) -> Call:
    name = f"<planted {uuid.uuid4()}>"
    one_line = text.replace("\r", " ").replace("\n", " ")
    source = f"raise ValueError('failed')  # {one_line}\n"
    linecache.cache[name] = (len(source), None, [source], name)
    try:
        exec(compile(source, name, "exec"), {})
    except ValueError as error:
        return Call(error=error)
    raise AssertionError("nothing was raised")


CARRIERS = [
    in_message,
    in_args,
    in_field,
    in_nested,
    in_header_pair,
    in_url,
    in_exception,
    in_source_line,
]

# -- fronts -----------------------------------------------------------------------


def by_logging(formatter: logging.Formatter, calls: list[Call], handler: Any = None) -> str:
    stream = io.StringIO()
    handler = MozlogHandler(stream, "shop") if handler is None else handler(stream, "shop")
    handler.setFormatter(formatter)
    logger = logging.Logger("planted")
    logger.addHandler(handler)
    for call in calls:
        # Only with arguments is a message a template.
        logger.warning(call.message, *call.args, extra=call.fields, exc_info=call.error)
    handler.close()
    return stream.getvalue()


def by_structlog(calls: list[Call], logger: Any) -> None:
    for call in calls:
        message = call.message % call.args if call.args else call.message
        logger.warning(message, **call.fields, exc_info=call.error)


def front_formatter(redact: list[Redact], calls: list[Call]) -> str:
    return by_logging(MozlogFormatter(processors=redact), calls)


def front_queue(redact: list[Redact], calls: list[Call]) -> str:
    return by_logging(MozlogFormatter(processors=redact), calls, MozlogQueueHandler)


def front_cloud(redact: list[Redact], calls: list[Call]) -> str:
    return by_logging(CloudFormatter(processors=redact, strict=True), calls)


def front_pretty(redact: list[Redact], calls: list[Call]) -> str:
    return by_logging(PrettyFormatter(processors=redact), calls)


class Converting(MozlogFormatter):
    """Makes whole lines of its own."""

    def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
        return {**super().convert_record(record), "raw": record.getMessage()}


def front_converting(redact: list[Redact], calls: list[Call]) -> str:
    return by_logging(Converting(processors=redact), calls)


def front_chain(redact: list[Redact], calls: list[Call]) -> str:
    """Log by structlog's own bound logger, with a chain that an application put together."""
    stream = io.BytesIO()
    chain = [structlog.processors.add_log_level, *redact, MozlogRenderer("shop")]
    made = structlog.wrap_logger(
        structlog.BytesLogger(stream), processors=chain, wrapper_class=structlog.BoundLogger
    )
    by_structlog(calls, made.bind())
    return stream.getvalue().decode()


def front_fast_logger(redact: list[Redact], calls: list[Call]) -> str:
    stream = io.StringIO()
    chain = processors(formatter=MozlogFormatter(processors=redact))
    factory = SinkLoggerFactory(Sink(stream))
    by_structlog(calls, FastBoundLogger.at("DEBUG")(factory("planted"), chain, {}))
    return stream.getvalue()


def front_fast_logger_asynchronous(redact: list[Redact], calls: list[Call]) -> str:
    stream = io.StringIO()
    chain = [*redact, MozlogRenderer("shop")]
    logger = FastBoundLogger.at("DEBUG")(SinkLoggerFactory(Sink(stream))("planted"), chain, {})

    async def log() -> None:
        for call in calls:
            message = call.message % call.args if call.args else call.message
            await logger.awarning(message, **call.fields, exc_info=call.error)

    asyncio.run(log())
    return stream.getvalue()


JSON_FRONTS = [
    front_formatter,
    front_queue,
    front_cloud,
    front_converting,
    front_chain,
    front_fast_logger,
    front_fast_logger_asynchronous,
]
FRONTS = [*JSON_FRONTS, front_pretty]

# -- what is said of the output -----------------------------------------------------


def texts(value: Any) -> Iterator[str]:
    """Return all texts in a parsed line, keys included."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from texts(member)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    else:
        yield str(value)


def shown(output: str) -> str:
    """Return an output with all texts of its lines as they read once they are parsed."""
    if output.startswith("{"):
        output = "\n".join([output, *itertools.chain(*map(texts, checked_lines(output)))])
    # However often it is escaped.
    return output + output.replace("\\", "")


def is_in(part: str, output: str) -> bool:
    return part in output or part.replace("\\", "") in output


def planted(rng: random.Random, shape: Shape, count: int) -> list[Planted]:
    return [shape(rng) for _ in range(count)]


def batches() -> Iterator[tuple[Shape, Any, int]]:
    pairs = [*itertools.product(SHAPES, CARRIERS)]
    for index, (shape, carrier) in enumerate(pairs):
        yield shape, carrier, PLANTED // len(pairs) + (index < PLANTED % len(pairs))


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda one: one.__name__)
def test_a_planted_secret_is_in_no_line(shape: Shape, carrier: Any) -> None:
    count = next(n for s, c, n in batches() if s is shape and c is carrier)
    rng = random.Random(f"{shape.__name__} {carrier.__name__}")
    secrets = planted(rng, shape, count)
    values = [value for each in secrets for value in each.values]
    # About as many as a service has, the rest of them with the next front.
    fronts = itertools.cycle(FRONTS)
    size = -(-count // len(FRONTS))
    for start in range(0, count, size):
        batch = secrets[start : start + size]
        redact = Redact(
            defaults=False,
            values=[value for each in batch for value in each.values],
            value_patterns=[r"\bemp-\d{9}\b"],
            shapes=True,
        )
        output = shown(next(fronts)([redact], [carrier(each.text) for each in batch]))
        assert output.count("[redacted]") >= len(batch)
        assert [part for each in batch for part in each.parts if is_in(part, output)] == []
    assert len(values) in (0, count)


def test_they_are_ten_thousand_over_eight_carriers_in_twelve_shapes() -> None:
    assert sum(count for *_, count in batches()) == PLANTED
    assert (len(CARRIERS), len(SHAPES)) == (8, 12)


@pytest.mark.parametrize("front", FRONTS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda one: one.__name__)
def test_without_redact_each_would_be_there(carrier: Any, front: Any) -> None:
    rng = random.Random(1)
    for shape in SHAPES:
        each = shape(rng)
        output = shown(front([], [carrier(each.text)]))
        assert any(is_in(part, output) for part in each.parts), (shape, each)


# -- lines that are cut ---------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [as_it_is, of_a_forge, of_a_payment, jwt], ids=lambda s: s.__name__
)
@pytest.mark.parametrize("max_line_bytes", [1024, 2000, 5000])
def test_a_line_that_is_cut_has_no_part_of_one(shape: Shape, max_line_bytes: int) -> None:
    rng = random.Random(f"{shape.__name__} {max_line_bytes}")
    for _ in range(40):
        each = shape(rng)
        redact = Redact(defaults=False, values=each.values, shapes=True)
        stream = io.StringIO()
        handler = MozlogHandler(stream, max_line_bytes=max_line_bytes)
        handler.setFormatter(MozlogFormatter(processors=[redact]))
        logger = logging.Logger("planted")
        logger.addHandler(handler)
        text = " ".join(f"{'.' * rng.randint(0, 40)} {each.text}" for _ in range(200))
        logger.error("%s", text, extra={"body": text, "nested": [{"n": text}]})
        output = shown(stream.getvalue())
        tail = each.text[-16:]
        pieces = {tail[at : at + 8] for at in range(len(tail) - 7)}
        assert not [piece for piece in pieces if piece in output]


# -- clean lines ----------------------------------------------------------------------


HEX = "0123456789abcdef"
LOWER = string.ascii_lowercase
WORDS = [
    "order",
    "stored",
    "item",
    "user",
    "login",
    "cache",
    "miss",
    "retry",
    "worker",
    "started",
    "task",
    "type",
]
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0"


def number(rng: random.Random) -> str:
    return str(rng.randint(1, 10**6))


def uuid4(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


#: What fields of services hold, much of which looks random.
CLEAN_VALUES: dict[str, Callable[[random.Random], Any]] = {
    "rid": uuid4,
    "trace_id": lambda rng: some(rng, HEX, 32),
    "sha": lambda rng: some(rng, HEX, rng.choice([40, 64])),
    "digest": lambda rng: f"sha256:{some(rng, HEX, 64)}",
    "etag": lambda rng: f'W/"{some(rng, HEX, 32)}"',
    "image": lambda rng: f"data:image/png;base64,{in_text(rng.randbytes(rng.randint(60, 300)))}",
    "url": lambda rng: f"https://shop.example:8443/v1/{uuid4(rng)}?page={number(rng)}&sort=-id",
    "href": lambda rng: f"/static/app.{some(rng, HEX, 8)}.js?v={some(rng, HEX, 12)}#top",
    "next": lambda rng: quote(f"https://shop.example/cart?i={number(rng)}&back=/a b/", safe=""),
    "mail": lambda rng: f"{some(rng, LOWER, 8)}@mail{number(rng)}.example",
    "git": lambda rng: f"ssh://git@forge.example/shop/{some(rng, LOWER, 6)}.git",
    "path": lambda rng: f"/srv/shop/{number(rng)}/lib/python3.12/site-packages/shop/views.py",
    "windows": lambda rng: rf"C:\Users\{some(rng, LETTERS, 8)}\AppData\{some(rng, LETTERS, 9)}",
    "agent": lambda rng: AGENT,
    "ip": lambda rng: ".".join(str(rng.randint(0, 255)) for _ in range(4)),
    "when": lambda rng: f"2024-07-{rng.randint(10, 30)}T11:00:00.{number(rng)}+00:00",
    "count": lambda rng: rng.randint(0, 10**12),
    "elapsed": lambda rng: rng.random() * 100,
    "arn": lambda rng: f"arn:aws:s3:::{some(rng, LOWER, 9)}/{some(rng, LETTERS, 20)}",
    "pod": lambda rng: f"shop-{some(rng, LOWER + string.digits, 10)}-{some(rng, HEX, 5)}",
    "container": lambda rng: f"registry.example/shop:{number(rng)}@sha256:{some(rng, HEX, 64)}",
    "sql": lambda rng: f"SELECT id FROM orders WHERE id = {number(rng)} AND state <> 'new'",
    "json": lambda rng: json.dumps({"id": uuid4(rng), "task_type": "sync", "n": "J\u00fcrgen"}),
    "id": lambda rng: some(rng, URL_SAFE, rng.choice([11, 22, 43])),
    "task_type": lambda rng: rng.choice(WORDS),
    "task_link": lambda rng: f"ops_{rng.choice(WORDS)}_k_list",
    "args": lambda rng: ["serve", "--port", "8000", f"--workers={number(rng)}", "-v"],
    "headers": lambda rng: {"Accept": "*/*", "Host": "shop.example", "X-Request-Id": uuid4(rng)},
    "query": lambda rng: f"q={rng.choice(WORDS)}&page={number(rng)}&per_page=50",
    "dsn": lambda rng: "host=db port=5432 dbname=shop sslmode=require",
    "cert": lambda rng: "-----BEGIN CERTIFICATE-----\n" + some(rng, LETTERS, 64),
}


def in_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def clean_fields(rng: random.Random) -> dict[str, Any]:
    words = rng.choices([*WORDS, number(rng), uuid4(rng), "task_id", "user@host"], k=9)
    names = rng.sample([*CLEAN_VALUES], rng.randint(3, 7))
    return {"msg": " ".join(words), **{name: CLEAN_VALUES[name](rng) for name in names}}


def test_hardly_a_clean_line_is_touched() -> None:
    rng = random.Random(2)
    values = [some(rng, URL_SAFE, rng.randint(8, 40)) for _ in range(50)]
    mask = Redact(values=values, shapes=True).mask
    assert mask is not None
    touched = []
    for _ in range(CLEAN):
        fields = clean_fields(rng)
        if mask.plain(fields) != fields:
            touched.append(fields)
    assert len(touched) < CLEAN / 1000, touched[:3]
