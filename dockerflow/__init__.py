"""Dockerflow for Python services, import-compatible with the ``dockerflow`` package.

The submodules that need no framework are there without being imported first:
``import dockerflow; dockerflow.checks``.
"""

from importlib import import_module as _import_module
from typing import Any

__all__: list[str] = []

# By this mozlog_py.overlap tells the package from the one of the distribution dockerflow.
_IS_OF_MOZLOG_PY = True

_SUBMODULES = ("checks", "health", "logging", "version")


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return _import_module(f"{__name__}.{name}")
    if name == "DjangoDockerflow":
        raise ImportError(
            "there is no DjangoDockerflow: Django needs no extension object. Use `from "
            "dockerflow.django import DockerflowMiddleware`, that is, put "
            "'dockerflow.django.middleware.DockerflowMiddleware' into MIDDLEWARE and "
            "'dockerflow.django' into INSTALLED_APPS",
            name=__name__,
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
