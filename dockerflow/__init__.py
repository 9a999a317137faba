"""Dockerflow for Python services, import-compatible with the ``dockerflow`` package.

The submodules that need no framework are there without being imported first:
``import dockerflow; dockerflow.checks``.
"""

# A name that type checkers take for that of ``typing``, which is not imported: with
# ``python -m dockerflow`` it would be a stranger's ``typing.py`` (see ``__main__``).
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__: list[str] = []

# By this mozlog_py._config.overlap tells the package from the one of the distribution dockerflow.
_IS_OF_MOZLOG_PY = True

_SUBMODULES = ("checks", "health", "logging", "version")


def __getattr__(name: str) -> "Any":
    if name in _SUBMODULES:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    if name == "DjangoDockerflow":
        raise ImportError(
            "there is no DjangoDockerflow: Django needs no extension object. Use `from "
            "dockerflow.django import DockerflowMiddleware`, that is, put "
            "'dockerflow.django.middleware.DockerflowMiddleware' into MIDDLEWARE and "
            "'dockerflow.django' into INSTALLED_APPS",
            name=__name__,
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
