"""Signals that are sent after a heartbeat, with the argument ``level``."""

from django.dispatch import Signal

__all__ = ["heartbeat_failed", "heartbeat_passed"]

#: No check has an error.
heartbeat_passed = Signal()
#: A check has an error, or a critical message.
heartbeat_failed = Signal()
