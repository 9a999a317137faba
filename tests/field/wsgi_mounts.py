"""Applications within WSGI applications; a name says what is in what."""

from __future__ import annotations

from typing import Any

import django_site
import flask_site
from a2wsgi import ASGIMiddleware
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from dockerflow.asgi import DockerflowASGI
from dockerflow.flask import Dockerflow
from dockerflow.wsgi import DockerflowWSGI


def applications() -> dict[str, Any]:
    """Return the applications by their names."""
    import asgi_stack
    import asgi_views

    return {
        "flask>flask": mounting(flask_site.application()),
        "flask>django": mounting(django_site.wsgi()),
        "flask>a2wsgi>fastapi": mounting(ASGIMiddleware(asgi_stack.fastapi_app())),
        "wsgi>flask": within(DockerflowWSGI(flask_site.application())),
        "wsgi>django": within(DockerflowWSGI(django_site.wsgi())),
        "wsgi>a2wsgi>fastapi": within(DockerflowWSGI(ASGIMiddleware(asgi_stack.fastapi_app()))),
        "wsgi>a2wsgi>asgi": within(DockerflowWSGI(ASGIMiddleware(DockerflowASGI(asgi_views.bare)))),
        "wsgi>wsgi>flask": within(DockerflowWSGI(DockerflowWSGI(flask_site.application()))),
    }


def mounting(inner: Any) -> Any:
    """Mount an application under ``/old`` in one of Flask."""
    app = Flask("outer")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/old": inner})  # type: ignore[method-assign]
    Dockerflow(app)
    return app


def within(app: Any) -> Any:
    """Take ``/old`` off, where nothing is mounted, so that all are asked alike."""

    def without_prefix(environ: Any, start_response: Any) -> Any:
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/old")
        return app(environ, start_response)

    return without_prefix
