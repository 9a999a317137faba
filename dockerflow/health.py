"""The ids of messages from the checks and the runner of this package.

Numbers below 100 are upstream's. Those from 101 on are ours, so that new numbers of
upstream do not clash.
"""

from typing import Final

__all__ = [
    "ERROR_CANNOT_CONNECT_DATABASE",
    "ERROR_CANNOT_CONNECT_REDIS",
    "ERROR_CHECK_CANCELLED",
    "ERROR_CHECK_INVALID_RESULT",
    "ERROR_CHECK_PENDING",
    "ERROR_CHECK_RAISED",
    "ERROR_CHECK_TIMED_OUT",
    "ERROR_DB_API_EXCEPTION",
    "ERROR_DISK_SPACE_LOW",
    "ERROR_DISK_UNREADABLE",
    "ERROR_MISCONFIGURED_DATABASE",
    "ERROR_MISCONFIGURED_REDIS",
    "ERROR_MISSING_REDIS_CLIENT",
    "ERROR_REDIS_EXCEPTION",
    "ERROR_REDIS_PING_FAILED",
    "ERROR_SQLALCHEMY_EXCEPTION",
    "ERROR_UNUSABLE_DATABASE",
    "ERROR_URL_MISCONFIGURED",
    "ERROR_URL_STATUS",
    "ERROR_URL_UNREACHABLE",
    "INFO_CANT_CHECK_MIGRATIONS",
    "WARNING_DISK_SPACE_LOW",
    "WARNING_UNAPPLIED_MIGRATION",
]

INFO_CANT_CHECK_MIGRATIONS: Final = "dockerflow.health.I001"
WARNING_UNAPPLIED_MIGRATION: Final = "dockerflow.health.W001"
ERROR_CANNOT_CONNECT_DATABASE: Final = "dockerflow.health.E001"
ERROR_UNUSABLE_DATABASE: Final = "dockerflow.health.E002"
ERROR_MISCONFIGURED_DATABASE: Final = "dockerflow.health.E003"
ERROR_CANNOT_CONNECT_REDIS: Final = "dockerflow.health.E004"
ERROR_MISSING_REDIS_CLIENT: Final = "dockerflow.health.E005"
ERROR_MISCONFIGURED_REDIS: Final = "dockerflow.health.E006"
ERROR_REDIS_PING_FAILED: Final = "dockerflow.health.E007"
ERROR_DB_API_EXCEPTION: Final = "dockerflow.health.E008"
ERROR_SQLALCHEMY_EXCEPTION: Final = "dockerflow.health.E009"
ERROR_REDIS_EXCEPTION: Final = "dockerflow.health.E010"

#: The runner's ids for a check that raised, timed out, or returned an invalid result.
ERROR_CHECK_RAISED: Final = "dockerflow.health.E101"
ERROR_CHECK_TIMED_OUT: Final = "dockerflow.health.E102"
ERROR_CHECK_INVALID_RESULT: Final = "dockerflow.health.E103"
#: A heartbeat's id for a check without an outcome, for which it cannot wait.
ERROR_CHECK_PENDING: Final = "dockerflow.health.E104"
#: The runner's id for a check whose task was cancelled before its deadline.
ERROR_CHECK_CANCELLED: Final = "dockerflow.health.E105"

ERROR_URL_UNREACHABLE: Final = "dockerflow.health.E111"
ERROR_URL_STATUS: Final = "dockerflow.health.E112"
ERROR_URL_MISCONFIGURED: Final = "dockerflow.health.E113"
ERROR_DISK_SPACE_LOW: Final = "dockerflow.health.E121"
ERROR_DISK_UNREADABLE: Final = "dockerflow.health.E122"
WARNING_DISK_SPACE_LOW: Final = "dockerflow.health.W121"
