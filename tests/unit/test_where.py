"""Where the resident memory lies: parts that add up, sources, and honest absence."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

import memlab
from memlab.collectors import resident
from memlab.collectors.resident import PARTS, read_stage

MIB = 1024 * 1024

SMAPS = b"""\
5600-5700 rw-p 00000000 00:00 0                          [heap]
Rss:               40960 kB
Anonymous:         40960 kB
7f00-7f10 rw-p 00000000 00:00 0
Rss:               10240 kB
Anonymous:         10240 kB
7f20-7f30 r-xp 00000000 08:01 123                        /usr/lib/libc.so.6
Rss:                2048 kB
Anonymous:             0 kB
7f30-7f40 rw-p 00000000 08:01 123                        /usr/lib/libc.so.6
Rss:                1024 kB
Anonymous:           512 kB
7f40-7f50 rw-s 00000000 00:01 77                         /dev/shm/psm_1
Rss:                3072 kB
Anonymous:             0 kB
"""


class Files:
    def __init__(self, text):
        self.text = text

    def read(self, name):
        assert name == "smaps"
        if self.text is None:
            raise FileNotFoundError(name)
        return self.text


def sizes(stage):
    return {part.name: part.bytes for part in stage.parts}


def test_parts_are_laid_to_who_took_them():
    """Mappings split RSS; the books of the allocators split what is anonymous; the rest is unexplained."""
    stage = read_stage("now", Files(SMAPS), lambda: (4 * MIB, 6 * MIB), lambda: (30 * MIB, 5 * MIB))
    assert sizes(stage) == {
        "live Python objects": 4 * MIB,
        "arenas, free": 2 * MIB,
        "malloc, in use": 30 * MIB,
        "malloc, free": 5 * MIB,
        "mapped files": 2 * MIB + MIB // 2,
        "data of libraries": MIB // 2,
        "shared memory": 3 * MIB,
        "unexplained": 9 * MIB,
    }
    assert stage.rss_bytes == 56 * MIB == sum(sizes(stage).values())
    assert all(part.source for part in stage.parts)


def test_what_is_on_the_books_and_not_resident_is_cut_from_what_is_free():
    """Free memory that was given back or never touched is not counted twice; the sum stays RSS."""
    stage = read_stage("now", Files(SMAPS), lambda: (4 * MIB, 6 * MIB), lambda: (44 * MIB, 90 * MIB))
    found = sizes(stage)
    assert (found["malloc, free"], found["arenas, free"], found["malloc, in use"]) == (0, 2 * MIB, 44 * MIB)
    assert found["unexplained"] == 0
    assert stage.rss_bytes == sum(found.values())


def test_books_that_are_not_kept_are_absent_with_a_reason():
    """An unknown allocator is None and a reason, never 0; its memory is in what is unexplained."""
    stage = read_stage("now", Files(SMAPS), lambda: None, lambda: None)
    assert sizes(stage)["live Python objects"] is None
    assert "PYTHONMALLOC" in stage.part("arenas, free").reason
    assert "mallinfo2" in stage.part("malloc, free").reason
    assert sizes(stage)["unexplained"] == 50 * MIB


def test_a_platform_without_mappings_says_so():
    """RSS and the allocators' books are there; what only the kernel knows is absent with a reason."""
    stage = read_stage("now", Files(None), lambda: (4 * MIB, 6 * MIB), lambda: None)
    assert sizes(stage)["live Python objects"] == 4 * MIB
    for name in ("mapped files", "shared memory", "unexplained"):
        assert stage.part(name).bytes is None
        assert "does not list" in stage.part(name).reason


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's mappings are Linux's")
def test_where_a_real_process_has_its_memory():
    """Garbage moves from live to free with a collection, and malloc's free memory goes with a trim."""
    program = """
        import gc, json, memlab
        memlab.where()
        gc.disable()
        for n in range(60_000):
            ring = []
            ring.append([ring])
        keep = []
        blocks = [bytearray(b"x" * 60_000) for _ in range(1_000)]
        keep = blocks[::20]
        del ring, blocks
        found = memlab.where()
        print(json.dumps([{p.name: p.bytes for p in s.parts} | {"rss": s.rss_bytes} for s in found.stages]))
        print(found.collected)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    stages, collected = done.stdout.splitlines()
    now, collected_stage, trimmed = json.loads(stages)
    assert int(collected) >= 120_000
    assert set(now) == {*PARTS, "rss"}
    for stage in (now, collected_stage, trimmed):
        assert sum(stage[name] for name in PARTS) == stage["rss"]
    assert now["live Python objects"] - collected_stage["live Python objects"] > 120_000 * 56
    assert now["malloc, free"] > 20 * MIB
    assert now["rss"] - trimmed["rss"] > 20 * MIB
    assert trimmed["malloc, free"] < 10 * MIB


def test_steps_that_are_not_wanted_are_left_out(monkeypatch):
    """Without collection and trim there is one moment; a C library that cannot trim is told."""
    assert [stage.label for stage in memlab.where(collect=False, trim_malloc=False).stages] == ["now"]
    monkeypatch.setattr("memlab.lab.where.trim", lambda: False)
    found = memlab.where(collect=False)
    assert len(found.stages) == 1
    assert "cannot be asked" in found.notes[0]


def test_the_interpreter_is_not_made_to_print(capfd):
    """Its statistics go into memory, not to standard error."""
    assert resident.arena_books() is None or resident.arena_books()[0] > 1000
    assert capfd.readouterr() == ("", "")


def test_the_command_looks_when_the_script_has_ended(tmp_path, capsys):
    """``memlab where`` keeps the script's output and exit code, and writes the page."""
    script = tmp_path / "job.py"
    script.write_text("import sys\nkeep = bytearray(b'x' * 9_000_000)\nprint('hello')\nsys.exit(3)\n")
    page = tmp_path / "where.html"
    done = subprocess.run(
        [sys.executable, "-m", "memlab", "where", str(script), "--report", str(page)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stdout.startswith("hello\n")
    assert "malloc, in use" in done.stdout
    assert "Where the resident memory lies" in page.read_text()
