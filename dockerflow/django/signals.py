"""Signals that say how a heartbeat went; both have ``level``."""

from django.dispatch import Signal

__all__ = ["heartbeat_failed", "heartbeat_passed"]

#: No check gave an error.
heartbeat_passed = Signal()
#: A check gave an error, or worse.
heartbeat_failed = Signal()
