"""Whether a line says what its record did: what is wrong is not timed.

The reasons hold nothing of the line itself, which has the host's name and this
machine's paths in it; they end up in the published results.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

from cases import Expected

__all__ = ["Author", "WrongOutput", "check"]


class Author(Protocol):
    """Whose a line is, and where it says what."""

    @property
    def message_key(self) -> str:
        """Where a line has its message."""

    @property
    def extras_key(self) -> str | None:
        """In what a line has its extras, None for beside the message."""


class WrongOutput(Exception):  # noqa: N818 - it is a finding, and no mistake of ours
    """What was written is not what was logged; its text says how."""


def check(line: str, expected: Expected, author: Author) -> None:
    """Raise ``WrongOutput`` unless an author's line says all that is expected."""
    if "\n" in line:
        raise WrongOutput("more than one line")
    try:
        document = json.loads(line)
    except ValueError:
        raise WrongOutput("not JSON") from None
    said = document
    if type(said) is dict and author.extras_key is not None:
        said = said.get(author.extras_key)
    if type(said) is not dict:
        raise WrongOutput("not an object")
    if said.get(author.message_key) != expected.message:
        raise WrongOutput("wrong message")
    for name, value in expected.extras.items():
        if said.get(name) != value or type(said.get(name)) is not type(value):
            raise WrongOutput(f"wrong extra: {name}")
    texts = "\n".join(_texts(document))
    for text in expected.exception:
        if text not in texts:
            raise WrongOutput(f"exception without its {text}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
