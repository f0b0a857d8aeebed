"""A cgroup of its own for a cage, where the caller asks for one and the system lets a process make it.

Inside the group that this process is in: with the v2 memory controller handed on to children, or with the
memory controller of v1. The kernel then bounds the cage by itself, page cache included. The group is removed
when the cage has ended. Nothing outside the new group is written, except the child's move into it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from memlab.collectors.limits import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CageGroup"]

_SLACK = 16 * 2**20
_PATIENCE_S = 1.0


class CageGroup:
    """One group around one process.

    Args:
        budget: what the process may take, in bytes; the group's limit is 16 MiB above it, so that the
            cage's own wall is met first.
        machine: finds the group that this process is in.
        root: the folder under which ``/sys`` lies.

    Attributes:
        reason: why there is no group, empty when there is one.
    """

    def __init__(
        self,
        budget: int,
        machine: Machine | None = None,
        root: str = "/",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.reason = ""
        self._limit = budget + _SLACK
        self._machine = machine or Machine(root)
        self._root = root.rstrip("/")
        self._folder: Path | None = None
        self._sleep = sleep

    def enclose(self, pid: int) -> str:
        """Put a process into a new group; return what was done, empty when it could not be (``reason``)."""
        reasons = []
        for name, find, limit_file in (
            ("v2", self._machine.v2_folder, "memory.max"),
            ("v1", self._machine.v1_folder, "memory.limit_in_bytes"),
        ):
            try:
                parent = Path(self._root + find())
                self._folder = parent / f"memlab-{os.getpid()}-{secrets.token_hex(4)}"
                self._folder.mkdir()
                (self._folder / limit_file).write_text(f"{self._limit}", encoding="ascii")
                (self._folder / "cgroup.procs").write_text(f"{pid}", encoding="ascii")
            except (OSError, LookupError) as error:
                reasons.append(f"{name}: {getattr(error, 'strerror', None) or error}")
                self.remove()
            else:
                return f"cgroup {name} {limit_file}"
        self.reason = "; ".join(reasons)
        return ""

    def remove(self) -> None:
        """Remove the group, once its process has gone; does nothing when there is none."""
        folder, self._folder = self._folder, None
        if folder is None:
            return
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                if time.monotonic() > deadline:
                    return  # an empty group takes no memory; the next boot is rid of it
                with contextlib.suppress(InterruptedError):
                    self._sleep(0.01)
            else:
                return
