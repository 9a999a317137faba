"""Blinker signals that say how a heartbeat went; both have ``level``."""

from blinker import Namespace

__all__ = ["dockerflow_signals", "heartbeat_failed", "heartbeat_passed"]

dockerflow_signals = Namespace()

#: No check gave an error.
heartbeat_passed = dockerflow_signals.signal("heartbeat-passed")
#: A check gave an error, or worse.
heartbeat_failed = dockerflow_signals.signal("heartbeat-failed")
