"""A label or a host's name from outside is a text, whatever ``logging.config`` would import."""

import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines

import mozlog_py
from mozlog_py._config.options import OptionError, check_unresolved

pytestmark = pytest.mark.usefixtures("untouched_process")

#: Importing this would leave a module behind.
EXT = "ext://antigravity.webbrowser"
CFG = "cfg://handlers.mozlog"
TEXTS = [EXT, CFG, "ext://os.environ", "ext://", "cfg://formatters[mozlog]"]

#: Every option that takes data, with a text in it at some depth.
DATA = [
    ("logger_name", lambda text: text),
    ("hostname", lambda text: text),
    ("static_fields", lambda text: {"label": text}),
    ("static_fields", lambda text: {"labels": {"a": [1, ("b", {"c": text})]}}),
    ("project", lambda text: text),
    ("formatter_options", lambda text: {"prefix": text}),
    ("formatter_options", lambda text: {"rename_fields": {"msg": text}}),
    ("formatter_options", lambda text: {"defaults": {"a": [text]}}),
    ("formatter_options", lambda text: {"timestamp": text}),
    ("formatter_options", lambda text: {"reserved_attrs": [text]}),
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("option", "value"), DATA)
@pytest.mark.parametrize("kind", ["mozlog", "gcp"])
def test_dict_config_refuses_them(option: str, value: Any, text: str, kind: str) -> None:
    if option == "project" and kind == "mozlog":
        # It is not in the configuration.
        return
    options: Any = {"format": kind, option: value(text)}
    with pytest.raises(OptionError, match="would import or") as caught:
        mozlog_py.dict_config(**options)
    assert repr(text) in str(caught.value)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("text", ["ext://shop/app.log", "cfg://shop.log"])
def test_dict_config_refuses_them_as_paths(text: str) -> None:
    with pytest.raises(OptionError, match="stream has the text"):
        mozlog_py.dict_config("shop", stream=text)


def test_dict_config_refuses_a_project_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", EXT)
    with pytest.raises(OptionError, match="project has the text"):
        mozlog_py.dict_config("shop", format="gcp")


def test_dict_config_takes_them_where_code_is_wanted() -> None:
    config = mozlog_py.dict_config(
        "shop",
        format="mozlog",
        processors=["ext://mozlog_py.processors.flatten"],  # type: ignore[list-item]
        formatter_options={"json_default": "ext://builtins.str"},  # type: ignore[typeddict-item]
    )
    assert "ext://mozlog_py.processors.flatten" in json.dumps(config)


@pytest.mark.parametrize("queue", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_configure_takes_them_as_texts(text: str, queue: bool) -> None:
    stream = io.StringIO()
    mozlog_py.configure(
        text,
        format="mozlog",
        stream=stream,
        hostname=text,
        static_fields={"label": text, "labels": {"a": [text, (text,)]}},
        loggers={text: "DEBUG"},
        formatter_options={"defaults": {"region": text}},
        queue=queue,
    )
    logging.getLogger(text).debug("hi")
    for handler in logging.getLogger().handlers:
        handler.flush()
    (line,) = checked_lines(stream.getvalue())
    assert (line["Logger"], line["Hostname"], line["Type"]) == (text, text, text)
    fields = line["Fields"]
    assert fields["label"] == text
    assert fields["labels"] == {"a": [text, [text]]}
    assert fields["region"] == text
    assert "antigravity" not in sys.modules


def test_configure_takes_them_as_the_project_of_traces() -> None:
    mozlog_py.configure("shop", format="gcp", project=EXT, stream=io.StringIO())
    assert "antigravity" not in sys.modules


def test_configure_takes_them_as_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ext:").mkdir()
    mozlog_py.configure("shop", format="mozlog", stream="ext://shop.log")
    logging.getLogger("shop").info("hi")
    assert checked_lines((tmp_path / "ext:" / "shop.log").read_text())[0]["Fields"]["msg"] == "hi"


def test_configure_resolves_them_where_code_is_wanted() -> None:
    stream = io.StringIO()
    mozlog_py.configure(
        "shop",
        format="mozlog",
        stream=stream,
        processors=["ext://mozlog_py.processors.flatten"],  # type: ignore[list-item]
        formatter_options={"json_default": "ext://builtins.repr"},  # type: ignore[typeddict-item]
    )
    logging.getLogger("shop").info("hi", extra={"a": {"b": Path("x")}})
    (line,) = checked_lines(stream.getvalue())
    assert line["Fields"]["a.b"] == repr(Path("x"))


def test_a_container_that_holds_itself_is_looked_at_once() -> None:
    held: dict[str, Any] = {"a": []}
    held["a"].extend([held, held["a"], "plain"])
    check_unresolved("static_fields", held)
    held["a"].append(EXT)
    with pytest.raises(OptionError):
        check_unresolved("static_fields", held)
