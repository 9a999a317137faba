"""Configuration that cannot be meant as it is written, through every way to configure."""

import io
import json
import logging
import logging.config
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mozlog_py
from mozlog_py import MozlogHandler, MozlogQueueHandler
from mozlog_py._config.options import OptionError
from mozlog_py.sink import Sink

pytestmark = pytest.mark.usefixtures("untouched_process")

STANDARD = ["stdout", "stderr", "sys.stdout", "sys.stderr", "STDOUT", "ext://sys.stdout"]
NAMES = ["shop", "Dockerflow", "shop web", ".shop", ""]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_dict_config(stream: Any, kind: str = "MozlogHandler") -> None:
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"h": {"class": f"mozlog_py.{kind}", "stream": stream}},
    }
    try:
        logging.config.dictConfig(config)
    except ValueError as error:
        # dictConfig itself says only which handler it was.
        raise (error.__cause__ or error) from None


def by_ini_file(stream: str) -> None:
    # Its arguments are Python's, and "args = ('shop',)" is meant as the name.
    Path("logging.ini").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=\n[logger_root]\nhandlers=h\n"
        f"[handler_h]\nclass=dockerflow.logging.MozlogHandler\nargs=({stream!r},)\n",
        "utf-8",
    )
    try:
        logging.config.fileConfig("logging.ini", disable_existing_loggers=False)
    finally:
        Path("logging.ini").unlink()


def by_attribute(stream: str) -> None:
    MozlogHandler().stream = stream


FRONTS = {
    "MozlogHandler": MozlogHandler,
    "MozlogQueueHandler": MozlogQueueHandler,
    "setStream": lambda stream: MozlogHandler().setStream(stream),
    "attribute": by_attribute,
    "sink": Sink,
    "configure": lambda stream: mozlog_py.configure("shop", stream=stream),
    "configure, queue": lambda stream: mozlog_py.configure("shop", stream=stream, queue=True),
    "dict_config": lambda stream: mozlog_py.dict_config("shop", stream=stream),
    "dictConfig": by_dict_config,
    "dictConfig, queue": lambda stream: by_dict_config(stream, "MozlogQueueHandler"),
    "fileConfig": by_ini_file,
}


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("text", NAMES)
def test_a_text_that_is_a_name_is_refused_as_stream(
    front: str, text: str, empty_folder: Path
) -> None:
    with pytest.raises(OptionError) as caught:
        FRONTS[front](text)
    option = "logger_name" if front.startswith(("configure", "dict_config")) else "name"
    assert f"stream is the text {text!r}" in str(caught.value)
    assert f"write {option}={text!r}; for a file write './{text}'" in str(caught.value)
    assert [*empty_folder.iterdir()] == []


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("text", STANDARD)
def test_a_text_that_names_a_standard_stream_is_refused_as_stream(
    front: str, text: str, empty_folder: Path
) -> None:
    if front.startswith("dictConfig") and text.startswith("ext://"):
        FRONTS[front](text)
        return
    with pytest.raises(OptionError) as caught:
        FRONTS[front](text)
    standard = f"sys.{text.lower().rpartition('.')[2]}"
    assert f"write stream={standard}" in str(caught.value)
    assert f"in a dictConfig 'ext://{standard}'" in str(caught.value)
    assert [*empty_folder.iterdir()] == []


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("path", ["./shop", "shop.log", "below/shop", Path("shop"), Path("stdout")])
def test_a_path_is_a_file_as_before(front: str, path: Any, empty_folder: Path) -> None:
    (empty_folder / "below").mkdir()
    if front == "fileConfig" and not isinstance(path, str):
        by_dict_config(path)
    else:
        FRONTS[front](path)
    assert (empty_folder / path).exists() or front == "dict_config"


@pytest.mark.parametrize("stream", [5, b"shop.log", ["shop.log"], logging.INFO, object()])
@pytest.mark.parametrize("front", [name for name in FRONTS if name != "fileConfig"])
def test_what_cannot_be_written_to_is_refused_as_stream(front: str, stream: Any) -> None:
    with pytest.raises(OptionError, match=r"stream is .*, which has no write\(\); it must be"):
        FRONTS[front](stream)


@pytest.mark.parametrize("mode", ["r", "rb", "unbuffered"])
@pytest.mark.parametrize("front", [name for name in FRONTS if name != "fileConfig"])
def test_a_file_that_is_open_for_reading_only_is_refused_as_stream(
    front: str, mode: str, empty_folder: Path
) -> None:
    path = empty_folder / "shop.log"
    path.touch()
    before = logging.getLogger().handlers[:]
    file = path.open("rb", buffering=0) if mode == "unbuffered" else path.open(mode)
    with file, pytest.raises(OptionError, match="which is open for reading only; open it"):
        FRONTS[front](file)
    assert logging.getLogger().handlers == before


class Tee(io.TextIOBase):
    """Inherits that it cannot be written to, and is."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)


class Duplex(Tee):
    def readable(self) -> bool:
        return True


class Bare:
    write = Tee.write
    text = ""


class Wrong(Bare):
    @property
    def readable(self) -> Any:
        raise LookupError

    writable = readable


@pytest.mark.parametrize("kind", [Tee, Duplex, Bare, Wrong])
def test_an_object_with_write_is_a_stream_whatever_else_it_says(kind: Any) -> None:
    stream = kind()
    mozlog_py.configure("shop", stream=stream, format="mozlog")
    logging.getLogger("shop").warning("sold")
    assert json.loads(stream.text)["Fields"] == {"msg": "sold"}


@pytest.mark.parametrize("front", ["MozlogHandler", "configure"])
def test_a_closed_file_is_a_stream_as_before(front: str, empty_folder: Path) -> None:
    file = (empty_folder / "shop.log").open("w")
    file.close()
    FRONTS[front](file)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("mozlog_py.configure('shop', queue=5)", "queue is 5; it must be True, False, or a dict"),
        ("mozlog_py.configure('shop', queue={'size': 3})", "queue has 'size' in it"),
        ("mozlog_py.configure('shop', strict='yes')", "strict is 'yes'; it must be True or False"),
        ("mozlog_py.configure('shop', max_line_bytes='16k')", "max_line_bytes is '16k'; it must"),
        ("mozlog_py.context.bind({'user': 'ann'})", "bind(**fields)"),
        ("mozlog_py.MozlogFormatter('shop')", "logger_name='shop'"),
        ("os.environ['LOG_FORMAT'] = 'xml'; mozlog_py.configure()", "LOG_FORMAT is 'xml'"),
        ("os.environ['LOGGING_LEVEL'] = 'x'; mozlog_py.configure()", "LOGGING_LEVEL is 'x'"),
    ],
)
def test_a_service_that_is_configured_wrongly_ends_with_what_to_write(
    code: str, said: str, empty_folder: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import os, mozlog_py\n{code}"],
        capture_output=True, text=True, timeout=60, check=False, cwd=empty_folder,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("mozlog_py._config.options.OptionError: ")
    assert said in done.stderr.splitlines()[-1]
    assert [*empty_folder.iterdir()] == []


@pytest.mark.parametrize(
    ("name", "is_json"), [("json", True), ("text", False), ("plain", False), ("console", False)]
)
def test_a_service_keeps_the_name_of_its_format(
    name: str, is_json: bool, empty_folder: Path
) -> None:
    code = "import logging, mozlog_py; mozlog_py.configure('shop'); logging.info('hi')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"LOG_FORMAT": name, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, timeout=60, check=True, cwd=empty_folder,
    )  # fmt: skip
    if is_json:
        assert json.loads(done.stdout)["Fields"] == {"msg": "hi"}
    else:
        assert done.stdout.split()[2:] == ["INFO", "hi", "[root]"]
