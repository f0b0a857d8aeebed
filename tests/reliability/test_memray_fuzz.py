"""Whatever the bytes of a capture file of memray's: columns or one ``CaptureError``, in bounded memory.

memray's reader trusts its input and is known to crash on damaged files. What is tried here is damage of whole
files, compressed and not, of both formats, with and without C frames; a fork of a process that has memray
loaded reads each.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from memlab.collectors import memray_child
from memlab.collectors.memray_files import MEASURES, NativeColumns, ReadingLimits, read_memray
from memlab.errors import CaptureError

memray = pytest.importorskip("memray") if sys.platform == "win32" else __import__("memray")

MIB = 1024 * 1024
LONG = os.environ.get("MEMLAB_LONG") == "1"
ROUNDS = 3000 if LONG else 100
LIMITS = ReadingLimits(file_bytes=64 * MIB, memory_bytes=1024 * MIB, seconds=20, answer_bytes=32 * MIB)
FORKS = Path(__file__).parent.parent / "kit" / "memray_forks.py"


class Forks:
    """The process that answers; ``peak`` is the greatest memory that one of its answers took."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-B", str(FORKS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.codes = collections.Counter()
        self.peak = 0
        folder = str(Path(memray_child.__file__).parent)
        self._say([[folder for folder in sys.path if folder], folder])

    def _say(self, value):
        self.process.stdin.write(json.dumps(value).encode() + b"\n")
        self.process.stdin.flush()

    def __call__(self, asked, limits):
        self._say(asked)
        code, length, peak = json.loads(self.process.stdout.readline())
        self.codes[code] += 1
        self.peak = max(self.peak, peak)
        return code, self.process.stdout.read(length)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Captures of each form: format, compression, C frames, objects."""
    folder = tmp_path_factory.mktemp("seeds")
    made = []
    for number, (aggregated, packed, native) in enumerate(
        [(a, c, n) for a in (False, True) for c in (False, True) for n in (False, True)]
    ):
        place = folder / f"{number}.bin"
        program = folder / "program.py"
        program.write_text(
            "import sys, threading\nfrom memray import *\n"
            "def work(n):\n    return [[str(i)] * 9 for i in range(n)], bytearray(3000 * n)\n"
            f"with Tracker(destination=FileDestination({str(place)!r}, compress_on_exit={packed}),\n"
            f"             native_traces={native}, trace_python_allocators=True,\n"
            f"             file_format=FileFormat({int(aggregated)})):\n"
            "    kept = work(40)\n    work(9)\n"
            "    thread = threading.Thread(target=work, args=(20,), name='worker')\n"
            "    thread.start(); thread.join()\n"
        )
        subprocess.run([sys.executable, str(program)], check=True, capture_output=True)
        made.append(place.read_bytes())
    return made


def damaged(source, seed, others):
    """Return a damaged copy of a capture: one kind of damage, or a few at once."""
    data = bytearray(seed)
    for _ in range(source.choice((1, 1, 1, 2, 5))):
        at = source.randrange(max(len(data), 1))
        kind = source.randrange(8)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << source.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + source.randrange(1, 200)]
        elif kind == 3:
            data[at:at] = source.randbytes(source.randrange(1, 64))
        elif kind == 4:
            data[at : at + 8] = struct.pack("<q", source.choice((-1, 2**62, 2**31, 0, 1 << 40)))
        elif kind == 5:
            other = source.choice(others)
            data[at : at + 300] = other[at : at + 300]
        elif kind == 6:
            data[at : at + 40] = b"\xff" * 40
        else:
            data[at:at] = data[at : at + source.randrange(1, 400)]
    return bytes(data)


def tried(forks, place, data):
    """Read damaged bytes; return what came of it."""
    place.write_bytes(data)
    try:
        read = read_memray(place, MEASURES, limits=LIMITS, ask=forks)
    except CaptureError as error:
        text = str(error)
        assert text.startswith("hurt.bin "), text
        assert "\n" not in text
        return "refused"
    assert isinstance(read, NativeColumns)
    return "read"


def test_damaged_captures_are_read_or_refused_in_one_sentence(seeds, tmp_path):
    """Damaged files, thousands in the long form, give columns or one error that names the file."""
    source = random.Random(6)
    came = collections.Counter()
    with contextlib.closing(Forks()) as forks:
        for _ in range(ROUNDS):
            # C frames are looked up in the libraries, which takes the most time by far
            seed = seeds[source.choice((0, 2, 4, 6) if source.random() < 0.9 else (1, 3, 5, 7))]
            came[tried(forks, tmp_path / "hurt.bin", damaged(source, seed, seeds))] += 1
        assert forks.peak < LIMITS.memory_bytes
        print("memray fuzz:", dict(came), dict(forks.codes), f"{forks.peak / MIB:.0f} MiB at most")
    assert came["refused"] > ROUNDS // 10
    assert came["read"] > 0


def test_whole_captures_are_read(seeds, tmp_path):
    """What is not damaged is read: both formats, compressed or not, with and without C frames."""
    with contextlib.closing(Forks()) as forks:
        for number, seed in enumerate(seeds):
            place = tmp_path / "whole.bin"
            place.write_bytes(seed)
            read = read_memray(place, limits=LIMITS, ask=forks)
            assert read.native_frames == bool(number % 2)
            assert read.present == (MEASURES if number < 4 else MEASURES[:2])
            assert {"main", "worker"} <= set(read.threads)
            assert int(read.size[read.measure == 0].sum()) > 3000 * 40


@pytest.mark.long
def test_every_cut_of_a_capture_is_read_or_refused(seeds, tmp_path):
    """A capture that was cut short after any byte gives what was there, or one error."""
    with contextlib.closing(Forks()) as forks:
        for seed in (seeds[0], seeds[2], seeds[4], seeds[6]):
            for length in range(0, len(seed), max(1, len(seed) // 400)):
                tried(forks, tmp_path / "hurt.bin", seed[:length])
