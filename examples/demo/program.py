"""The program that the demonstration runs twice: with dockerflow, and with mozlog-py.

Both distributions have these imports. Each case is announced by a line that begins with
``case``; the lines behind it are what that case logged.
"""

import logging
import os
import sys
from importlib.metadata import PackageNotFoundError, version

from flask import Flask

from dockerflow import checks
from dockerflow.flask import Dockerflow
from dockerflow.logging import MozlogFormatter, MozlogHandler

PASSWORD = "pa55-w0rd"
#: More than a pipe holds.
LINES = 1000


class Card:
    def __repr__(self) -> str:
        raise RuntimeError("a card shows nothing")


def unprintable(log: logging.Logger) -> None:
    log.info("paid", extra={"card": Card()})


def arguments(log: logging.Logger) -> None:
    log.info("%d books paid", "two")


def braces(log: logging.Logger) -> None:
    log.info("{no JSON}")


def nan(log: logging.Logger) -> None:
    log.info("paid", extra={"ratio": float("nan")})


def surrogate(log: logging.Logger) -> None:
    # What os.fsdecode makes of a file name in Latin-1.
    log.info("opened", extra={"file": "Zo\udceb.txt"})


def secret(log: logging.Logger) -> None:
    app = Flask("shop")
    Dockerflow(app)

    @checks.register(name="database")
    def connected() -> list[checks.CheckMessage]:
        raise OSError(f"no answer from postgresql://shop:{PASSWORD}@db/shop")

    answer = app.test_client().get("/__heartbeat__")
    announce(f"answer {answer.status_code} {' '.join(answer.get_data(as_text=True).split())}")


def full_pipe(log: logging.Logger) -> None:
    # As a parent leaves it that shares the pipe with an event loop.
    os.set_blocking(sys.stdout.fileno(), False)
    for number in range(LINES):
        log.info("order %d paid", number)


CASES = (unprintable, arguments, braces, nan, surrogate, secret, full_pipe)


def distribution() -> str:
    """Return the name and the version of the distribution that ``dockerflow`` comes from."""
    try:
        return f"mozlog-py {version('mozlog-py')}"
    except PackageNotFoundError:
        return f"dockerflow {version('dockerflow')}"


def announce(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    handler = MozlogHandler(sys.stdout, name="shop")
    handler.setFormatter(MozlogFormatter())
    logging.basicConfig(handlers=[handler], level="INFO")
    announce(f"with {distribution()}")
    for case in CASES:
        announce(f"case {case.__name__}")
        try:
            case(logging.getLogger("shop"))
        except Exception as error:
            announce(f"raised {type(error).__name__}")


if __name__ == "__main__":
    main()
