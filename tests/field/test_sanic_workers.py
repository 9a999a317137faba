"""Sanic's own ways to start: its manager of workers pickles the application's class."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import sanic_server
from sanic import Sanic
from sanic import __version__ as sanic_version

from dockerflow.sanic import Dockerflow

_APPLICATION = """
import sys
import mozlog_py
from sanic import Sanic, response
from dockerflow.sanic import Dockerflow

class Shop(Sanic):
    pass

mozlog_py.configure("shop", format="mozlog")
app = {kind}("shop")
app.config.AUTO_EXTEND = False
Dockerflow(app)

@app.get("/paid")
async def paid(request):
    return response.text("paid")

if __name__ == "__main__":
    address = dict(host="127.0.0.1", port=int(sys.argv[1]), motd=False)
    {start}
"""

STARTS = {
    "run": ("Sanic", "app.run(**address)"),
    "run of a subclass": ("Shop", "app.run(**address)"),
    "serve": ("Sanic", "app.prepare(**address); Sanic.serve()"),
}


@pytest.mark.skipif(sanic_version.startswith("22.6"), reason="Sanic 22.6 has no manager of workers")
@pytest.mark.parametrize("start", STARTS)
def test_sanic_starts_its_workers_and_their_requests_have_summaries(
    start: str, tmp_path: Path
) -> None:
    kind, call = STARTS[start]
    (tmp_path / "shop.py").write_text(_APPLICATION.format(kind=kind, start=call))
    with sanic_server._run(tmp_path, ["shop.py", "PORT"]) as server:
        answer = server.ask("/paid", "worker-1")
        assert (answer.status, answer.ids, answer.body) == (200, [b"worker-1"], b"paid")
        severity, fields = server.summary("worker-1")
        assert (severity, fields["code"], fields["path"]) == (6, 200, "/paid")


@pytest.mark.parametrize("kind", [Sanic, type("Shop", (Sanic,), {"__module__": __name__})])
def test_sanic_class_of_an_application_is_pickled_as_the_class_that_it_was_made_of(
    kind: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), kind.__name__, kind)
    app = kind(f"pickled_{kind.__module__.replace('.', '_')}")
    Dockerflow(app)
    assert type(app) is not kind
    assert pickle.loads(pickle.dumps(type(app))) is kind
    # A class that the application derives from it has a name of its own.
    later = type("Later", (type(app),), {"__module__": __name__, "__slots__": ()})
    monkeypatch.setitem(globals(), "Later", later)
    assert pickle.loads(pickle.dumps(later)) is later
    # What the manager of workers sends to a process.
    assert pickle.loads(pickle.dumps(type(app).get_app)) == kind.get_app
