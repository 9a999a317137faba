"""What the numbers were measured on, without saying where that is."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["description", "one_cpu"]


def description() -> dict[str, str | int]:
    """Describe this machine. Neither its name nor a path of it is said."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        # Only Linux has it.
        pass
    return platform.processor() or "unknown"


def one_cpu() -> int | None:
    """Return a processor for all workers to stay on, None where that cannot be asked for.

    Processors differ in who else is using them, which is no rival's fault. They
    never work at the same time, so that sharing one costs them nothing.
    """
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
