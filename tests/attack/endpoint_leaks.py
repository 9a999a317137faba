"""What the four endpoints say, and do, for a stranger who asks."""

from __future__ import annotations

import json
from pathlib import Path

from .service import Rows, Service, Tally, on_each, request, serving, status

METHODS = (
    b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"PROPFIND",
    b"QUERY", b"get", b"__ERROR__",
)  # fmt: skip
_UNHEARD_OF = (b"TRACE", b"PROPFIND", b"QUERY", b"get", b"__ERROR__")
ERROR_PATHS = (
    b"/__error__", b"/__error__/", b"/__error__?x=1", b"/__error__#", b"//__error__",
    b"/%5f%5ferror%5f%5f", b"/__ERROR__", b"/./__error__", b"/a/../__error__", b"/__error__%00",
    b"/__error__;a", b"/__error__//",
)  # fmt: skip
#: A credential that is in a file or a variable beside the service.
SECRET = "s3cr3t-of-the-service"
#: Files that are no version, or a strange one.
VERSIONS = (
    b"", b"{", b"[1]", b"\xff", b'{"a": NaN}', b"[" * 100_000,
    b'{"a": "' + b"x" * 1_100_000 + b'"}', b"-----BEGIN PRIVATE KEY-----\n" + SECRET.encode(),
)  # fmt: skip


def run() -> Rows:
    """Return a row for each endpoint, and what is tried on it."""
    return on_each(_visit)


_OFF = "/__error__ switched off, any method and spelling: as any path that is not there"
_ON = "an endpoint, any method: no traceback, variable, path or exception"
_VERSION = "/__version__ of a broken file: nothing of the file, nor where it is"
_HEARTBEAT = "/__heartbeat__ without its database: not where the database is"


def _visit(example: str, parser: str) -> Tally:
    tally = Tally(_OFF, _ON, _VERSION, _HEARTBEAT)
    with serving(example, parser, {"DOCKERFLOW_ERROR_ENDPOINT": "0"}) as service:
        for path in ERROR_PATHS:
            for method in METHODS if path == b"/__error__" else (b"GET", b"POST"):
                tally.add(_OFF, _is_off(service, method, path))
    with serving(example, parser, {"SECRET_OF_OURS": SECRET}) as service:
        for path in (b"/__error__", b"/__version__", b"/__heartbeat__", b"/__lbheartbeat__"):
            for method in METHODS:
                tally.add(_ON, _is_discreet(service, method, path))
        for version in VERSIONS:
            (service.folder / "version.json").write_bytes(version)
            tally.add(_VERSION, _is_discreet(service, b"GET", b"/__version__"))
    # The guest book makes its table when it starts, and would not without a database.
    if example in ("bare_asgi.py", "with_django.py"):
        with serving(example, parser, {"DATABASE": f"/nowhere/{SECRET}/shop.sqlite"}) as service:
            for _ in range(3):
                tally.add(_HEARTBEAT, _is_discreet(service, b"GET", b"/__heartbeat__"))
    return tally


def _is_off(service: Service, method: bytes, path: bytes) -> bool:
    got = service.send(request(method, path))
    lines = service.checked()
    other = service.send(request(method, path.replace(b"error", b"absent").replace(b"ERR", b"ABS")))
    service.lines()
    if lines is None:
        return False
    is_raised = any("__error__ endpoint" in json.dumps(line) for line in lines)
    # Sanic's router says 405 for every path that it has, if it has never heard of the method.
    is_same = status(got) == status(other) or (method in _UNHEARD_OF and status(got) == 405)
    if is_raised or not is_same:
        return service.note(
            f"{method!r} {path!r} is answered with {status(got)}, and a path that is not there "
            f"with {status(other)}; {lines}"
        )
    return True


def _is_discreet(service: Service, method: bytes, path: bytes) -> bool:
    got = service.send(request(method, path))
    if service.checked() is None:
        return False
    body = got.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
    if method in _UNHEARD_OF:
        # A server may answer by itself to what it knows no method of: it repeats that.
        body = body.replace(method.decode(), "")
    told = [
        each for each in (
            SECRET, str(service.folder), str(Path(__file__).parents[2]), "Traceback", 'File "',
            "DockerflowError", "This is a test exception", "site-packages", "sqlite",
        ) if each in body
    ]  # fmt: skip
    if told:
        return service.note(f"{method!r} {path!r} tells {told}: {body[:600]}")
    return status(got) > 0 or service.note(f"{method!r} {path!r} has no answer")
