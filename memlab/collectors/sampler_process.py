"""Start and end the sampler process (``sampler_script.py``), which reads a process's memory from outside.

It is an interpreter of its own, started without a fork of this one's memory, and nothing here waits until it
samples: that takes some 20 ms, during which the kernel's high-water mark covers what happens. Marks and
stacks of the target go into the same file, and both sides read the same clock: all lies on one axis.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from memlab.collectors import cgroups, sampler_script
from memlab.errors import UnavailableError

__all__ = ["SCRIPT", "SamplerProcess"]

SCRIPT = str(Path(sampler_script.__file__))
_END_S = 5.0
# Enough to start an interpreter; nothing that the target preloads or sets for its own allocator.
_ENVIRONMENT = ("LD_LIBRARY_PATH", "PATH")


class SamplerProcess:
    """The sampler of one recording, from its start to its end.

    Args:
        pid: whom to read. Default: this process.
        stream: descriptor of the file that takes the frames, see ``streams.Stream``; stays the caller's.
        origin_ns: the zero of all times, as ``time.monotonic_ns()`` has it.
        interval_s: seconds between two readings of RSS; while memory moves it reads faster.
        idle: may it slow down, to a tenth of a second, while nothing moves.
        children: follow the target's descendants.
        slow: read PSS and USS, which cost the target something.
        listen: does somebody read what it tells (``rises``).

    Raises:
        UnavailableError: when there is no ``/proc`` here, or no process can be started.
    """

    _process: subprocess.Popen[bytes] | None = None  # on the class: an interrupt may strike early

    def __init__(
        self,
        stream: int,
        origin_ns: int,
        pid: int | None = None,
        interval_s: float = 0.01,
        *,
        idle: bool = False,
        children: bool = True,
        slow: bool = True,
        listen: bool = True,
    ) -> None:
        self.owner = os.getpid()
        target = self.owner if pid is None else pid
        if not os.path.exists(f"/proc/{target}/statm"):  # noqa: PTH110 - quicker, and this counts
            raise UnavailableError("there is no /proc with this process in it")
        if not sys.executable:
            raise UnavailableError("the interpreter does not know its own program")
        orders = {
            "pid": target,
            "began": _began(target),
            "interval_us": max(1, round(interval_s * 1e6)),
            "idle": idle,
            "origin_ns": origin_ns,
            "descriptor": stream,
            "children": children,
            "slow": slow,
            "figures": cgroups.figures(target),
            "tell": listen,
        }
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [sys.executable, "-I", "-S", SCRIPT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if listen else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(stream,),
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                bufsize=0,
            )
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(orders).encode() + b"\n")
        except (OSError, RuntimeError) as error:
            self.cancel()
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise UnavailableError(f"the sampler process cannot be started: {reason}") from None
        except BaseException:
            self.cancel()
            raise

    @property
    def pid(self) -> int:
        """Its process number."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return os.getpid() == self.owner and self._process is not None and self._process.poll() is None

    def fileno(self) -> int:
        """Return the descriptor on which it tells of rises; -1 when nobody listens."""
        stdout = self._process.stdout if self._process is not None else None
        return -1 if stdout is None or stdout.closed else stdout.fileno()

    def stop(self) -> bytes:
        """End it, and return the frames that the file did not take. Does nothing in a forked child."""
        process = self._process
        if process is None or os.getpid() != self.owner:
            return b""
        given = b""
        try:
            self._ask_to_end()
            given = self._rest_of_stdout()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
        finally:
            self.cancel()
        return given

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended by itself, because its target did; tell whether it has."""
        assert self._process is not None
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def cancel(self) -> None:
        """Let go of it whatever its state; it ends by itself. Does nothing in a forked child."""
        process = self._process
        if process is None or os.getpid() != self.owner:
            return
        self._ask_to_end()
        if process.stdout is not None:
            process.stdout.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None

    def _ask_to_end(self) -> None:
        assert self._process is not None
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        # A line, and not only the end of the pipe: a forked child of the target may hold the pipe open.
        with contextlib.suppress(OSError):
            stdin.write(b"stop\n")
        with contextlib.suppress(OSError):
            stdin.close()

    def _rest_of_stdout(self) -> bytes:
        assert self._process is not None
        stdout = self._process.stdout
        given = b""
        deadline = time.monotonic() + _END_S
        while stdout is not None and time.monotonic() < deadline:
            if select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                data = os.read(stdout.fileno(), 1 << 16)
                if not data:
                    break
                given += data
        return given


def _began(pid: int) -> int:
    try:
        return sampler_script.began_at(pid)
    except (OSError, IndexError, ValueError):
        return 0
