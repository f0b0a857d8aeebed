"""Which figures may be compared: those of one interpreter on one class of machine, which has no name."""

from __future__ import annotations

import os
import platform
import sys

__all__ = ["machine_class", "same_interpreter"]


def machine_class() -> str:
    """Return the class of this machine: Python to its minor version, system, architecture, cores.

    No host name, no serial number, no processor's name: of how fast it is the reference loops tell.

    >>> machine_class().count(", ")
    2
    """
    minor = ".".join(platform.python_version_tuple()[:2])
    threads = "t" if "free-threading" in sys.version else ""
    cores = os.cpu_count() or 1
    return (
        f"{platform.python_implementation()} {minor}{threads}, {sys.platform} {platform.machine()}, "
        f"{cores} {'core' if cores == 1 else 'cores'}"
    )


def same_interpreter(one: str, other: str) -> bool:
    """Tell whether two classes differ in nothing but cores: bytes and counts can be compared then.

    >>> same_interpreter("CPython 3.11, linux x86_64, 2 cores", "CPython 3.11, linux x86_64, 4 cores")
    True
    """
    return one.rpartition(", ")[0] == other.rpartition(", ")[0]
