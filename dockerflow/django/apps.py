"""The Django application, which registers the checks."""

from django.apps import AppConfig

__all__ = ["DockerFlowAppConfig"]


class DockerFlowAppConfig(AppConfig):
    """Registers the checks in ``DOCKERFLOW_CHECKS``, and the check of this installation."""

    name = "dockerflow.django"
    label = "dockerflow"
    verbose_name = "Dockerflow"

    def ready(self) -> None:
        """Register the checks."""
        from django.core.checks import register

        from . import checks, system_check

        checks.register()
        register(system_check.check_installation)
