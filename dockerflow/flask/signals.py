"""Blinker signals that are sent after a heartbeat, with the argument ``level``."""

from blinker import Namespace

__all__ = ["dockerflow_signals", "heartbeat_failed", "heartbeat_passed"]

dockerflow_signals = Namespace()

#: No check has an error.
heartbeat_passed = dockerflow_signals.signal("heartbeat-passed")
#: A check has an error, or a critical message.
heartbeat_failed = dockerflow_signals.signal("heartbeat-failed")
