"""The JSON encoder: which one is taken, and that all of them write the same bytes."""

import functools
import importlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from conformance import checked, checked_lines
from encoder_records import REFUSED, TOKENS, compare, compare_parsers, outcome, stand_ins
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import TEXTS

import mozlog_py
from mozlog_py import config
from mozlog_py._line import json_encoder, json_stand_ins, line_encoder, truncate
from mozlog_py._redaction import mask, secret_values
from mozlog_py._render import plain_record
from mozlog_py.structlog import log_methods

HERE = Path(__file__).parent
ROOT = HERE.parent

has_msgspec = importlib.util.find_spec("msgspec") is not None
needs_msgspec = pytest.mark.skipif(not has_msgspec, reason="msgspec is not installed")

#: Plain values as a line may have them, and those that orjson writes as null or refuses.
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS | st.sampled_from([2**64 - 1, 2**64, -(2**63), -(2**63) - 1]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(TEXTS | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


#: MOZLOG_EXAMPLES asks for more of them: 10,000 compare a million records.
EXAMPLES = settings().max_examples


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes imports of modules fail."""

    def refuse(*names: str) -> None:
        for name in names:
            # None in sys.modules makes an import raise ImportError.
            monkeypatch.setitem(sys.modules, name, None)
            monkeypatch.delitem(sys.modules, f"{name}.json", raising=False)

    return refuse


class TestChoice:
    def test_choice_is_orjson_itself_so_that_no_line_pays_for_the_interface(self) -> None:
        assert json_encoder.JSON_ENCODER == "orjson"
        assert json_encoder.loads is orjson.loads
        for module in (json_encoder, truncate, secret_values):
            assert module.dumps is orjson.dumps
        for module in (line_encoder, log_methods, mask, plain_record):
            assert module._dumps is orjson.dumps

    def test_choice_is_made_in_one_module(self) -> None:
        modules = [
            path
            for name in ("mozlog_py", "dockerflow")
            for path in Path(importlib.import_module(name).__path__[0]).rglob("*.py")
            if re.search(r"^\s*(import|from) (orjson|msgspec)\b", path.read_text("utf-8"), re.M)
        ]
        assert sorted(path.name for path in modules) == ["json_encoder.py", "json_stand_ins.py"]

    @needs_msgspec
    def test_choice_falls_back_to_msgspec_without_orjson(self, refuse: Callable[..., None]) -> None:
        refuse("orjson")
        name, dumps, loads = json_encoder.choose()
        assert name == "msgspec"
        assert dumps({"a": [1e16, 1e-7]}) == b'{"a":[1e+16,1e-7]}'
        assert loads is json_stand_ins.loads

    def test_choice_falls_back_to_the_standard_library_without_either(
        self, refuse: Callable[..., None]
    ) -> None:
        refuse("orjson", "msgspec")
        name, dumps, loads = json_encoder.choose()
        assert name == "json"
        assert dumps({"a": [1e16, 1e-7]}) == b'{"a":[1e+16,1e-7]}'
        assert loads is json_stand_ins.loads

    def test_choice_takes_no_other_module_of_the_name_orjson(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "orjson", types.ModuleType("orjson"))
        assert json_encoder.choose()[0] in {"msgspec", "json"}

    @pytest.mark.parametrize("written", [b"{}", LookupError("an old release")])
    def test_choice_takes_no_release_of_msgspec_that_writes_otherwise(
        self, written: Any, refuse: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def encode(_: Any) -> bytes:
            if isinstance(written, Exception):
                raise written
            return written  # type: ignore[no-any-return]

        refuse("orjson")
        found, of_json = types.ModuleType("msgspec"), types.ModuleType("msgspec.json")
        found.json, of_json.encode = of_json, encode  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "msgspec", found)
        monkeypatch.setitem(sys.modules, "msgspec.json", of_json)
        assert json_encoder.choose()[0] == "json"


@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="the page is of the tree")
def test_the_page_installs_all_dependencies_but_orjson() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    listed = project.split("\ndependencies")[1].split("]")[0]
    needed = re.findall(r'"([\w-]+>=[\d.]+)', listed)
    page = (ROOT / "docs" / "stdlib.md").read_text("utf-8")
    installed = re.findall(r'"([\w-]+>=[\d.]+)"', page.split("## Without orjson")[1])
    assert sorted(installed) == sorted(set(needed) - {needed[0]})
    assert needed[0].startswith("orjson>=")


class TestReadable:
    def test_readable_by_a_public_name(self) -> None:
        assert config.JSON_ENCODER == "orjson"
        assert "JSON_ENCODER" in config.__all__

    @pytest.mark.usefixtures("untouched_process")
    def test_readable_in_a_line_at_debug_that_is_logged_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(config, "_is_encoder_logged", False)
        stream = io.StringIO()
        configure = functools.partial(mozlog_py.configure, "shop", format="json", stream=stream)
        configure(level="INFO")
        assert stream.getvalue() == ""
        configure(level="DEBUG")
        configure(level="DEBUG")
        (line,) = checked_lines(stream.getvalue())
        assert (line["Type"], line["Severity"]) == ("mozlog_py", 7)
        assert line["Fields"] == {"msg": "lines are encoded by orjson"}


class TestBytes:
    """``python tests/encoder_records.py 1000000`` compares a million records."""

    def test_bytes_are_the_same_for_many_records(self) -> None:
        counts = compare(100 * EXAMPLES)
        # A comparison of nothing but failures, or of one form, would show nothing.
        assert min(counts.values()) > 0

    @given(VALUES)
    def test_bytes_are_the_same_for_any_plain_value(self, value: Any) -> None:
        expected = outcome(orjson.dumps, value)
        for dumps in stand_ins().values():
            assert outcome(dumps, value) == expected

    @pytest.mark.parametrize("name", ["json", pytest.param("msgspec", marks=needs_msgspec)])
    @pytest.mark.parametrize("value", REFUSED, ids=ascii)
    @pytest.mark.parametrize("held", [lambda value: value, lambda value: [{"a": value}]])
    def test_bytes_are_refused_with_the_error_of_orjson(
        self, value: Any, name: str, held: Callable[[Any], Any]
    ) -> None:
        dumps = stand_ins()[name]
        if type(value) is not bytes:
            with pytest.raises(TypeError):
                orjson.dumps(held(value))
        with pytest.raises(TypeError, match=r"lone surrogate|64 bits|not a text|no JSON form"):
            dumps(held(value))

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (1e-5, "0.00001"),
            (-1.25e-5, "-0.0000125"),
            (1e-6, "1e-6"),
            (-2.5e-9, "-2.5e-9"),
            (1e-10, "1e-10"),
            (1e16, "1e+16"),
            (-0.0, "-0.0"),
            (float("nan"), "null"),
            (float("-inf"), "null"),
        ],
    )
    def test_bytes_of_floats_that_encoders_print_differently(self, value: float, text: str) -> None:
        for dumps in (orjson.dumps, *stand_ins().values()):
            assert dumps({"a": value, "b": [value]}) == f'{{"a":{text},"b":[{text}]}}'.encode()

    @pytest.mark.parametrize(
        ("value", "is_common"),
        [
            ({"user": "ann", "n": 2**64 - 1, "amount": 12.5, "free": 0.0, "ok": True}, True),
            ({"a": [{"b": (None, -0.5)}]}, True),
            ({"a": [{"b": (None, 1e-5)}]}, False),
            ({"a": 1e16}, False),
            ({"a": {1: 2}}, False),
            ({"a": 2**64}, False),
            ({"a": object()}, False),
        ],
    )
    def test_bytes_of_the_usual_values_come_from_msgspec_itself(
        self, value: Any, is_common: bool
    ) -> None:
        assert json_stand_ins.has_common_form(value) is is_common


class TestParser:
    def test_parser_parses_many_documents_as_orjson_does(self) -> None:
        counts = compare_parsers(100 * EXAMPLES)
        assert min(counts.values()) > 0

    @pytest.mark.parametrize("token", TOKENS, ids=ascii)
    def test_parser_parses_and_refuses_as_orjson_does(self, token: str) -> None:
        for text in (token, f"[{token}]", f'{{"a":{token}}}', token.encode("utf-8", "replace")):
            assert repr(outcome(json_stand_ins.loads, text)) == repr(outcome(orjson.loads, text))

    def test_parser_refuses_a_document_that_is_too_deep_with_a_value_error(self) -> None:
        for loads in (orjson.loads, json_stand_ins.loads):
            with pytest.raises(ValueError, match=r"deep|depth"):
                loads("[" * 200_000)


def environment(*paths: Path | str) -> dict[str, str]:
    unset = ("LOG_LEVEL", "LOG_FORMAT", "LOGGING_LEVEL", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def lines_without(*blocked: str) -> tuple[str, list[str]]:
    """Return the encoder and the lines of the program where modules cannot be imported."""
    done = subprocess.run(
        [sys.executable, HERE / "encoder_lines.py", ",".join(blocked), "120"],
        capture_output=True, timeout=120, env=environment(HERE, *sys.path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    name, _, text = done.stdout.decode().partition("\n")
    # What differs between two runs.
    text = re.sub(r'"(Timestamp|Pid)":\d+', r'"\1":0', text)
    lines = re.sub(r'"(time)":"[^"]+"', r'"\1":""', text).split("\n")
    said = [line for line in lines if f"lines are encoded by {name}" in line]
    assert len(said) == 1
    return name, [line for line in lines if line and line not in said]


@pytest.fixture(scope="module")
def lines_of_orjson() -> list[str]:
    name, lines = lines_without("none")
    assert name == "orjson"
    return lines


@pytest.mark.processes
@pytest.mark.slow
class TestLines:
    @pytest.mark.parametrize(
        ("name", "blocked"),
        [
            pytest.param("msgspec", ["orjson"], marks=needs_msgspec),
            ("json", ["orjson", "msgspec"]),
        ],
    )
    def test_lines_are_the_same_on_all_fronts_where_orjson_refuses_to_load(
        self, name: str, blocked: list[str], lines_of_orjson: list[str]
    ) -> None:
        assert len(lines_of_orjson) > 1000
        found, lines = lines_without(*blocked)
        assert found == name
        for line, expected in zip(lines, lines_of_orjson, strict=True):
            assert line == expected
        for line in lines[:50]:
            checked(line)

    @pytest.mark.skipif(sys.version_info < (3, 14), reason="3.14 brings concurrent.interpreters")
    def test_lines_come_from_a_subinterpreter_while_the_main_one_keeps_orjson(self) -> None:
        source = """
from concurrent import interpreters
import mozlog_py.config
other = interpreters.create()
other.exec('''
import logging
import mozlog_py.config, structlog
mozlog_py.configure("shop", hostname="h", format="json")
logging.getLogger("a").info(mozlog_py.config.JSON_ENCODER, extra={"amount": 1e-5})
structlog.get_logger("b").info("paid", amount=1e16)
''')
other.close()
print(mozlog_py.config.JSON_ENCODER)
"""
        done = subprocess.run(
            [sys.executable, "-c", source],
            capture_output=True, timeout=60, env=environment(*sys.path),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        *lines, name = done.stdout.splitlines(keepends=True)
        assert name.strip() == b"orjson"
        first, second = checked_lines(b"".join(lines))
        assert first["Fields"]["msg"] in {"msgspec", "json"}
        assert (first["Fields"]["amount"], second["Fields"]["amount"]) == (0.00001, 1e16)

    def test_lines_come_from_an_environment_that_lacks_orjson(self, tmp_path: Path) -> None:
        for name in ("mozlog_py", "dockerflow", "structlog", "pythonjsonlogger"):
            spec = importlib.util.find_spec(name)
            assert spec
            assert spec.origin
            (tmp_path / name).symlink_to(Path(spec.origin).parent)
        source = """
import logging, sys
import dockerflow.checks, dockerflow.logging, dockerflow.wsgi
import mozlog_py, structlog
mozlog_py.configure("shop", hostname="h", format="json")
logging.getLogger("a").info("paid", extra={"amount": 1e-5, "of": {"b": 1e16}})
structlog.get_logger("b").info("paid", amount=12.5, user="\\x7fž")
try:
    import orjson
except ModuleNotFoundError:
    logging.getLogger("c").info(mozlog_py.config.JSON_ENCODER)
"""
        done = subprocess.run(
            # Without site-packages, so that only the packages in the folder are installed.
            [sys.executable, "-S", "-c", source],
            capture_output=True, check=True, timeout=60, env=environment(tmp_path),
        )  # fmt: skip
        assert done.stderr == b""
        assert [line["Fields"] for line in checked_lines(done.stdout)] == [
            {"amount": 0.00001, "of": {"b": 1e16}, "msg": "paid"},
            {"amount": 12.5, "user": "\x7fž", "msg": "paid"},
            {"msg": "json"},
        ]
        assert b'{"amount":0.00001,"of":{"b":1e+16},"msg":"paid"}' in done.stdout
