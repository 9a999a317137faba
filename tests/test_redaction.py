"""Redact: what it is configured with is looked at when it is made, not when a secret passes."""

import re
from typing import Any

import pytest
from conformance import fields, record

from mozlog_py import MozlogFormatter
from mozlog_py.redaction import Redact


class TestConfiguration:
    @pytest.mark.parametrize("pattern", [1, None, b"^x-", re.compile(b"^x-"), ["^x-"]])
    def test_refuses_a_pattern_that_could_not_be_searched_for(self, pattern: Any) -> None:
        with pytest.raises(ValueError, match="must be a text or a compiled regular expression"):
            Redact(patterns=[pattern])

    @pytest.mark.parametrize("key", [1, None, b"iban", ["iban"]])
    def test_refuses_a_key_that_is_no_text(self, key: Any) -> None:
        with pytest.raises(ValueError, match=r"keys has .* in it; it must be a list of names"):
            Redact([key])

    def test_takes_compiled_patterns_as_they_are(self) -> None:
        formatter = MozlogFormatter(processors=[Redact(patterns=[re.compile("^X-")])])
        got = fields(formatter, record("hi", **{"X-Shop": 1, "x-shop": 2}))
        assert got == {"X-Shop": "[redacted]", "x-shop": 2, "msg": "hi"}
