"""Upstream's older place of ``dockerflow.checks.messages``."""

from dockerflow.checks import messages
from dockerflow.checks.messages import *  # noqa: F403 - all of it, under another name

__all__: list[str] = []
__all__ += messages.__all__
