"""RSS as a process of its own reads it, taken up piece by piece while it grows.

The sampler process of a recording (``collectors/sampler_process.py``) writes frames into a file without a
name; whoever looks reads what was added since the last look. So nothing has to wait for the interpreter's
lock: what happened while C code held it is there afterwards. The frames are our own process's, so they are
read without the care that a file from elsewhere needs; what does not fit is passed over.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from typing import TYPE_CHECKING

import numpy as np

from memlab.collectors.sampler_process import SamplerProcess
from memlab.collectors.sampler_script import (
    COLUMNS_FRAME,
    COLUMNS_HEAD,
    HEAD,
    JSON_FRAME,
    MAGIC,
    PACKED,
    SYNC,
)
from memlab.collectors.streams import Stream

if TYPE_CHECKING:
    from memlab.records.columns import Ints

__all__ = ["OutsideSamples"]


class OutsideSamples:
    """A sampler process for live views. Close it.

    Args:
        origin_s: the zero of its times, as ``time.monotonic()`` has it.
        interval_s: seconds between two readings; while memory moves it reads faster.

    Raises:
        UnavailableError: when there can be no such process here.
        UsageError: when there can be no file for it.
    """

    _stream: Stream | None = None  # on the class: an interrupt may strike before __init__ has run
    _process: SamplerProcess | None = None

    def __init__(self, origin_s: float, interval_s: float) -> None:
        self.interval_s = interval_s
        self._at = 0
        self._rest = b""
        self._series = -1
        self._scale = 1
        self._pid = os.getpid()
        try:
            self._stream = Stream(None)
            os.write(self._stream.descriptor, MAGIC)
            self._process = SamplerProcess(
                self._stream.descriptor,
                int(origin_s * 1e9),
                interval_s=interval_s,
                children=False,
                slow=False,
                listen=False,
            )
        except BaseException:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Tell whether it reads."""
        return self._process is not None and self._process.is_alive

    def take(self) -> list[tuple[float, int]]:
        """Return the readings that have come since the last call: seconds since the origin, and bytes."""
        rows: list[tuple[float, int]] = []
        for kind, payload in self._frames():
            with contextlib.suppress(ValueError, KeyError, TypeError, zlib.error):
                if kind == JSON_FRAME:
                    self._declare(json.loads(payload))
                elif kind == COLUMNS_FRAME:
                    moments, pages = self._columns(payload)
                    values = (pages * self._scale).tolist()
                    rows += zip((moments * 1e-6).tolist(), values, strict=True)
        return rows

    def close(self, *, wait: bool = False) -> list[tuple[float, int]]:
        """End the process; with ``wait``, return what it wrote last. Does nothing in a forked child."""
        if os.getpid() != self._pid:
            return []
        last: list[tuple[float, int]] = []
        if self._process is not None:
            if wait:
                self._process.stop()
                last = self.take()
            self._process.cancel()
            self._process = None
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        return last

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be half gone
            self.close()

    def _declare(self, document: object) -> None:
        if isinstance(document, dict) and document.get("role") == "timeline":
            self._series, self._scale = int(document["series"]), int(document.get("scale", 1))

    def _columns(self, payload: bytes) -> tuple[Ints, Ints]:
        number, width, count = COLUMNS_HEAD.unpack_from(payload)
        if number != self._series or width & ~PACKED != 2:  # noqa: PLR2004 - moment and value
            raise ValueError("another series")
        content = payload[COLUMNS_HEAD.size :]
        plain = zlib.decompress(content) if width & PACKED else content
        table = np.frombuffer(plain, "<i8").reshape(2, count).astype(np.int64).cumsum(axis=1)
        return table[0], table[1]

    def _frames(self) -> list[tuple[bytes, bytes]]:
        """Return the whole frames that were added since the last look."""
        if self._stream is None or self._stream.descriptor < 0:
            return []
        size = os.fstat(self._stream.descriptor).st_size
        content = self._rest + os.pread(self._stream.descriptor, size - self._at, self._at)
        self._at = size
        found, at = [], 0
        while (start := content.find(SYNC, at)) >= 0 and start + HEAD.size <= len(content):
            _, kind, length, _ = HEAD.unpack_from(content, start)
            end = start + HEAD.size + length
            if end > len(content):
                break
            found.append((kind, content[start + HEAD.size : end]))
            at = end
        self._rest = content[at:] if content.find(SYNC, at) >= 0 else b""
        return found
