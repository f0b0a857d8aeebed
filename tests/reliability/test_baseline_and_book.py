"""Baselines and lab books under many writers, kills and their own bound: nothing lost, nothing torn.

``make test`` tries each a few times; with MEMLAB_LONG=1 the numbers are those of the promise.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from memlab._base.machine import machine_class
from memlab.records.benchmark import BenchmarkResult, BenchmarkTable
from memlab.store.baseline import Baseline
from memlab.store.lab_book import LabBook

LONG = os.environ.get("MEMLAB_LONG") == "1"

WRITER = """
import sys
from memlab.records.benchmark import BenchmarkResult, BenchmarkTable
from memlab.store.baseline import Baseline
from memlab.store.lab_book import LabBook
who, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
baseline, book = Baseline(folder + "/base.json"), LabBook(folder + "/book.db")
for n in range(count):
    result = BenchmarkResult(f"w{who}.{n}:peak_bytes", 1000.0 + n, "bytes", exact=True)
    table = BenchmarkTable((result,), machine="m, p, 2 cores")
    baseline.update(table)
    book.append(table, label=f"{who}.{n}")
    print(n, flush=True)
"""


def start(who, count, folder):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(who), str(count), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(900)
def test_many_writers_lose_nothing_and_no_reader_sees_a_torn_file(tmp_path):
    """Processes that update one baseline and one book at once: each of their entries is there in the end."""
    writers, updates = (16, 200) if LONG else (4, 10)
    running = [start(who, updates, tmp_path) for who in range(writers)]
    baseline, book = Baseline(tmp_path / "base.json"), LabBook(tmp_path / "book.db")
    reads = 0
    while any(child.poll() is None for child in running):
        baseline.machines()  # raises for anything that is no whole baseline
        if book.path.exists() and book.path.stat().st_size:
            book.history(last=1)
        reads += 1
        time.sleep(0.005)
    errors = [child.communicate()[1] for child in running]
    assert errors == [""] * writers
    wanted = {f"w{who}.{n}:peak_bytes" for who in range(writers) for n in range(updates)}
    table = baseline.read("m, p, 2 cores")
    assert {result.name for result in table} == wanted
    history = book.history()
    assert sorted(run.label for run in history.runs) == sorted(
        f"{who}.{n}" for who in range(writers) for n in range(updates)
    )
    assert {metric.name for metric in history.metrics} == wanted
    assert reads > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.json", "book.db"]


@pytest.mark.timeout(900)
def test_a_killed_writer_leaves_the_old_or_the_new_state(tmp_path):
    """After kill -9 at any moment the baseline and the book are whole, and hold all that was done."""
    dice = random.Random(4)
    for point in range(100 if LONG else 5):
        folder = tmp_path / str(point)
        folder.mkdir()
        child = start(0, 1000, folder)
        first = child.stdout.readline()
        assert first == "0\n", child.communicate()[1]
        time.sleep(dice.random() * 0.05)
        child.send_signal(signal.SIGKILL)
        said = child.communicate()[0].splitlines()
        done = int(said[-1]) if said else 0
        table = Baseline(folder / "base.json").read("m, p, 2 cores")
        assert len(table) in (done + 1, done + 2)
        runs = LabBook(folder / "book.db").history().runs
        assert [run.label for run in runs] == [f"0.{n}" for n in range(len(runs))]
        assert len(runs) in (done + 1, done + 2)
        assert not list(folder.glob(".*.lock"))


def test_a_book_stays_under_its_cap_and_keeps_the_newest(tmp_path):
    """Thousands of runs under a small cap: the file never grows above it, and the newest are there."""
    entries, cap = (100_000, 1024 * 1024) if LONG else (600, 128 * 1024)
    book = LabBook(tmp_path / "book.db", max_bytes=cap)
    figures = 3 if LONG else 40
    results = tuple(BenchmarkResult(f"load:m{n}", 1.5, "seconds") for n in range(figures))
    table = BenchmarkTable(results, machine=machine_class())
    worst = 0
    for number in range(entries):
        book.append(table, label=str(number))
        worst = max(worst, book.path.stat().st_size)
    history = book.history()
    assert worst <= cap
    assert history.runs[-1].label == str(entries - 1)
    assert [run.number for run in history.runs] == list(range(history.runs[0].number, entries + 1))
    assert history.dropped == entries - len(history)
    assert len(history) > 10


def test_a_foreign_or_broken_file_is_one_sentence_and_stays_as_it_is(tmp_path):
    """What is no baseline and no book is refused by name and never written over."""
    from memlab.errors import CaptureError

    table = BenchmarkTable((BenchmarkResult("a:peak_bytes", 1.0, "bytes", exact=True),), machine="m")
    contents = [b"", b"{", b"[]",
                b'{"format": "memlab baseline", "version": 1, "machines": {"m": 3}}', b"\xff",
                b"<<<<<<< ours\n{}\n", b'{"format": "memlab baseline", "version": 9, "machines": {}}',
                b"[" * 100_000]  # fmt: skip
    for number, content in enumerate(contents):
        path = tmp_path / f"base{number}.json"
        path.write_bytes(content)
        for act in (lambda p=path: Baseline(p).machines(), lambda p=path: Baseline(p).update(table)):
            with pytest.raises(CaptureError, match=path.name):
                act()
        assert path.read_bytes() == content
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE runs (x)")
    connection.close()
    before = other.read_bytes()
    book = LabBook(other)
    for act in (book.history, lambda: book.append(table)):
        with pytest.raises(CaptureError, match=r"other\.db is no lab book"):
            act()
    assert other.read_bytes() == before


def test_any_bytes_in_a_book_give_a_value_or_one_error(tmp_path):
    """Flipped and cut books are read as a history or refused with a CaptureError."""
    from memlab.errors import CaptureError

    path = tmp_path / "book.db"
    book = LabBook(path)
    table = BenchmarkTable(tuple(BenchmarkResult(f"load:m{n}", 1.5, "seconds") for n in range(5)))
    for _ in range(20):
        book.append(table)
    whole, dice = path.read_bytes(), random.Random(11)
    outcomes = set()
    for _ in range(3000 if LONG else 150):
        content = bytearray(whole)
        for _ in range(dice.randint(1, 6)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        path.write_bytes(content[: dice.choice([len(content), dice.randrange(1, len(content))])])
        try:
            book.history()
            outcomes.add("value")
        except CaptureError:
            outcomes.add("error")
    assert outcomes == {"value", "error"}


def test_any_json_in_a_baseline_gives_a_value_or_one_error(tmp_path):
    """Fields of other types, huge numbers and texts: a table or a CaptureError, never another exception."""
    from memlab.errors import CaptureError

    path = tmp_path / "base.json"
    dice = random.Random(3)
    odd = [None, True, -1, 10**400, 1e308, "x", [], {}, [1], {"a": 1}, "\ud800", float("nan"), ["a"]]
    fields = (
        "value",
        "unit",
        "better",
        "exact",
        "samples",
        "reference",
        "process",
        "allowed",
        "least",
        "loop",
    )
    for _ in range(3000 if LONG else 300):
        entry = {field: dice.choice(odd) for field in fields if dice.random() < 0.5}
        part = {"metrics": {"a": entry}} if dice.random() < 0.9 else {"metrics": dice.choice(odd)}
        if dice.random() < 0.3:
            part["snapshots"] = {"a": dice.choice([*odd, "../../etc/passwd", "/etc/passwd"])}
        path.write_text(
            json.dumps({"format": "memlab baseline", "version": 1, "machines": {"m, p, 2 cores": part}})
        )
        baseline = Baseline(path)
        try:
            baseline.read("m, p, 2 cores")
            baseline.snapshot("m, p, 2 cores", "a")
        except CaptureError:
            pass
