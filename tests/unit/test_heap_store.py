"""Heap graphs on disk: small, quick, equal when loaded, and no way to make a reader allocate too much."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from captures import forge, parts_of, row
from heaps import graph_of

from memlab._base.limits import Limits
from memlab.errors import CaptureError, UsageError
from memlab.records.chain import RootKind
from memlab.records.columns import floats, ints
from memlab.records.heap_graph import HeapGraph
from memlab.records.heap_results import (
    ContainerDiff,
    HeapDiff,
    HeapHoldings,
    HeapSuspect,
    HeapSuspects,
    Holding,
    TypeCount,
    TypeDiff,
)
from memlab.records.timeline import Timeline
from memlab.store import schema
from memlab.store.capture_file import load, read_header, save
from memlab.store.packing import LEAST_BYTES, pack, unpack

MIB = 2**20


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a.memlab"


def small_graph():
    """A graph that uses every table once."""
    return graph_of(
        {0: [1, 2], 1: [2, 2], 3: [4], 4: [3]},
        sizes=[64, 100, 2**33, 72, 28],
        roots=[(0, RootKind.MODULE, "module app"), (0, RootKind.NOTEBOOK, "Out[3]")],
        types={0: "builtins.dict", 2: "numpy.ndarray"},
        labels={0: "module app", 2: "app.big (ndarray)"},
        vias={(0, 1): ".cache"},
        owners={0: "app"},
        twins={4: 3},
        names=[("x", 2), ("Out[3]", 0)],
        external=[1],
        immortal=[4],
        title="before",
        notes=("cut short",),
    )


def big_graph(nodes=200_000):
    """A graph whose columns look like those of a process, addresses nearly ascending."""
    chance = np.random.default_rng(5)
    degree = chance.integers(0, 4, nodes)
    starts = np.concatenate([[0], np.cumsum(degree)]).astype(np.uint32)
    holder = np.repeat(np.arange(nodes), degree)
    # Most references lead to what was made nearby.
    edges = np.clip(holder + chance.integers(-50, 50, len(holder)), 0, nodes - 1).astype(np.uint32)
    return HeapGraph(
        address=np.uint64(0x7F00_0000_0000) + np.cumsum(chance.choice([32, 48, 64], nodes)).astype(np.uint64),
        type_of=chance.choice([0, 0, 0, 1, 2], nodes).astype(np.uint32),
        size=chance.choice([28, 49, 56, 64, 184], nodes).astype(np.uint32),
        flags=np.ones(nodes, np.uint8),
        starts=starts,
        edges=edges,
        types=("builtins.int", "builtins.str", "app.Order"),
        type_modules=("builtins", "builtins", "app"),
    )


def rows_in(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name, part, dtype, coding, size, stored FROM blobs").fetchall()


def refusal(path, **options):
    with pytest.raises(CaptureError) as caught:
        load(path, **options)
    return str(caught.value)


# -- what is saved is what is loaded


@pytest.mark.parametrize(
    "make", [small_graph, big_graph, lambda: graph_of({})], ids=["small", "big", "empty"]
)
def test_a_graph_comes_back_equal(file, make):
    """Every column with its own type, read-only, and every table."""
    graph = make()
    save(graph, file)
    back = load(file)
    assert back == graph
    assert type(back) is HeapGraph
    for name, dtype in {"address": "u8", "edges": "u4", "flags": "u1", "huge_size": "i8"}.items():
        column = getattr(back, name)
        assert column.dtype == dtype
        assert not column.flags.writeable
    assert back.total_bytes == graph.total_bytes
    assert back.roots.tolist() == graph.roots.tolist()


def test_nested_results_come_back_equal(file):
    """Records in records in tuples, absent ones, and no numbers at all."""
    count = TypeCount("app.Order", 3, 300, 400)
    results = [
        HeapSuspects((HeapSuspect("app.cache", "dict", 7, 10, 0.5, "It keeps.", None, (count,), 3),), 20),
        HeapDiff(
            (TypeDiff("app.Order", 3, 3, 300, 300, born=3), TypeDiff("int", 1, 1, 28, 28)),
            (ContainerDiff("app.cache", "dict", 4, 3, 300, 3, (count,)),),
            exact=True,
            objects_diff=4,
            bytes_diff=328,
        ),
        HeapHoldings((Holding(("x", "Out[3]"), "variable", "list", 80, 1, release="del x"),), 100, 0.5),
    ]
    for result in results:
        save(result, file)
        assert load(file) == result
        assert read_header(file).kind == result.kind


def test_other_columns_are_packed_and_come_back_too(file):
    """A long recording is made small as well, NaN and infinities included."""
    times = np.arange(100_000.0)
    timeline = Timeline(floats(times), {"rss_bytes": ints(np.full(100_000, 2**40))})
    save(timeline, file)
    assert load(file) == timeline
    assert file.stat().st_size < 200_000


# -- how it lies in the file


def test_a_graph_is_small_on_disk(file):
    """A fifth at most of what it takes in memory; each large column is packed on its own."""
    graph = big_graph()
    save(graph, file)
    in_memory = sum(
        getattr(graph, c).nbytes for c in ("address", "type_of", "size", "flags", "starts", "edges")
    )
    assert file.stat().st_size < in_memory / 4
    codings = {name: coding for name, _, _, coding, _, _ in rows_in(file)}
    assert codings["array/edges"] == codings["array/address"] == codings["array/starts"] == "shuffle+zlib"
    assert codings["tree"] == "raw"
    assert codings["array/label_node"] == "raw"  # small: any SQL shell reads it


def test_what_does_not_shrink_stays_raw(file):
    """Digits of chance are stored as they are."""
    numbers = np.frombuffer(np.random.default_rng(1).bytes(8 * 50_000), np.int64)
    save(Timeline(np.arange(50_000.0), {"x": numbers}), file)
    stored = {name: (coding, size, kept) for name, _, _, coding, size, kept in rows_in(file)}
    assert stored["array/metrics/x"] == ("raw", 400_000, 400_000)
    assert stored["array/time_s"][0] == "shuffle+zlib"


def test_a_long_column_is_packed_part_by_part(file, monkeypatch):
    """Each part stands on its own; a column may have packed and raw parts."""
    monkeypatch.setattr(schema, "PART_BYTES", 65_536)
    chance = np.frombuffer(np.random.default_rng(1).bytes(65_536), np.int64)
    column = np.concatenate([np.zeros(8192, np.int64), chance, np.ones(8192, np.int64), np.arange(5)])
    timeline = Timeline(np.arange(float(len(column))), {"x": column})
    save(timeline, file)
    parts = [(part, coding) for name, part, _, coding, _, _ in rows_in(file) if name == "array/metrics/x"]
    assert parts == [(0, "shuffle+zlib"), (1, "raw"), (2, "shuffle+zlib"), (3, "raw")]
    assert load(file) == timeline


@pytest.mark.parametrize("dtype", ["u1", "u4", "u8", "i8", "f8"])
@pytest.mark.parametrize("length", [LEAST_BYTES, LEAST_BYTES + 1, 77_777])
def test_packing_gives_back_the_bytes(dtype, length):
    """Of every width."""
    column = (np.arange(length) // 3).astype(dtype)
    packed = pack(column.view(np.uint8).data, column.itemsize)
    assert packed is not None
    into = np.zeros(column.nbytes, np.uint8)
    unpack(packed, column.itemsize, into)
    assert into.tobytes() == column.tobytes()


def test_small_content_is_not_packed():
    """It would gain little and be unreadable to a shell."""
    assert pack(memoryview(bytes(LEAST_BYTES - 1)), 1) is None


def test_the_file_of_version_1_is_read(file):
    """The older layout has no coding; its content is the same value, its header says its version."""
    timeline = Timeline(np.arange(30_000.0), {"rss_bytes": np.arange(30_000)})
    forge(file, "timeline", *parts_of(timeline), version=1)
    assert load(file) == timeline
    assert read_header(file).version == 1
    save(load(file), file)
    assert read_header(file).version == 2
    assert load(file) == timeline


def test_a_flipped_bit_in_version_1_is_found(file):
    """Its checks are still compared."""
    forge(file, "timeline", *parts_of(Timeline(np.full(100, 0.5), {})), version=1)
    damaged = bytearray(file.read_bytes())
    damaged[damaged.rindex(np.float64(0.5).tobytes())] ^= 1
    file.write_bytes(damaged)
    assert "the check of array/time_s differs" in refusal(file)


def test_version_1_with_the_newer_tables_is_refused(file):
    """A version has its own tables; no other pairing is read."""
    forge(file, tables=schema.TABLES.values(), pragmas=["user_version=1"])
    assert "is no memlab capture" in refusal(file)
    forge(file, tables=schema.OLDER_TABLES.values(), pragmas=["user_version=2"])
    assert "is no memlab capture" in refusal(file)


# -- packed content that lies

ZEROS = np.zeros(100_000, "<u8").tobytes()
TREE = b'{"time_s": {"array": "time_s"}, "metrics": {}}'


def packed_row(data, size, dtype="<f8", **options):
    return row("array/time_s", dtype, data, coding=schema.PACKED, size=size, **options)


def test_an_honest_packed_row_is_read(file):
    """What the hostile rows below differ from."""
    forge(file, rows=[row("tree", "json", TREE), packed_row(zlib.compress(ZEROS), len(ZEROS))])
    assert len(load(file)) == 100_000


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        # A stream that has more to give than it declares, by one byte or by a gigabyte.
        ([packed_row(zlib.compress(ZEROS + b"\0"), len(ZEROS))], "has not the size that it declares"),
        ([packed_row(zlib.compress(bytes(200 * MIB), 9), 8 * MIB)], "has not the size that it declares"),
        # Less, nothing, half a stream, one with a tail, none at all.
        ([packed_row(zlib.compress(ZEROS[:-8]), len(ZEROS))], "has not the size that it declares"),
        ([packed_row(zlib.compress(b""), 800)], "has not the size that it declares"),
        ([packed_row(zlib.compress(ZEROS)[:-5], len(ZEROS))], "has not the size that it declares"),
        ([packed_row(zlib.compress(ZEROS) + b"tail", len(ZEROS))], "has not the size that it declares"),
        ([packed_row(b"no stream, only text", 800)], "is broken"),
        ([packed_row(zlib.compress(ZEROS)[:-1] + b"\xff", len(ZEROS))], "is broken"),
        # Sizes that cannot be: beyond a part, beyond what deflate can do, below nought, broken numbers.
        ([packed_row(zlib.compress(ZEROS), 2**40)], "which cannot be"),
        ([packed_row(b"x" * 10, 8 * MIB)], "which cannot be"),
        ([packed_row(zlib.compress(ZEROS), -8)], "which cannot be"),
        ([packed_row(zlib.compress(ZEROS), len(ZEROS) - 1)], "which cannot be"),
        ([packed_row(b"", 0)], "which cannot be"),
        ([packed_row(zlib.compress(ZEROS), len(ZEROS), stored=2**40)], "which cannot be"),
        ([packed_row(zlib.compress(ZEROS), len(ZEROS), stored=900)], "has not the size"),
        # Only columns are packed, in the one way, with a type that a capture may hold.
        ([row("array/time_s", "<f8", ZEROS, coding="bzip2")], "which cannot be"),
        ([packed_row(zlib.compress(ZEROS), len(ZEROS), dtype="json")], "which cannot be"),
        ([packed_row(zlib.compress(ZEROS), len(ZEROS), dtype="|O")], "which cannot be"),
        ([packed_row(zlib.compress(ZEROS), len(ZEROS), crc32=7)], "the check of array/time_s differs"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_packed_rows_that_lie_are_refused(file, rows, words):
    """Before anything is made, or at the declared size at the latest."""
    forge(file, rows=[row("tree", "json", TREE), *rows])
    tracemalloc.start()
    try:
        assert words in refusal(file)
        assert tracemalloc.get_traced_memory()[1] < 30 * MIB  # three parts; the honest size is at most one
    finally:
        tracemalloc.stop()


def test_a_bomb_is_refused_before_anything_is_allocated(file):
    """Parts that are each within bounds are added up against the reader's limit."""
    bomb = zlib.compress(bytes(8 * MIB), 9)
    rows = [packed_row(bomb, 8 * MIB, part=part) for part in range(200)]
    forge(file, rows=[row("tree", "json", TREE), *rows])
    assert file.stat().st_size < 3 * MIB
    tracemalloc.start()
    try:
        message = refusal(file)
        assert "unpacks to more than the reader's limit of 1.00 GiB" in message
        assert "Limits(memory_bytes=...)" in message
        assert tracemalloc.get_traced_memory()[1] < MIB
        assert "limit of 8.00 MiB" in refusal(file, limits=Limits(memory_bytes=8 * MIB))
    finally:
        tracemalloc.stop()


def test_a_larger_limit_reads_what_the_smaller_refuses(file):
    """The remedy in the message works."""
    graph = big_graph()
    save(graph, file)
    assert "unpacks to more" in refusal(file, limits=Limits(memory_bytes=MIB))
    assert load(file, Limits(memory_bytes=100 * MIB)) == graph


def test_damaged_bytes_of_a_packed_graph_are_found(file):
    """300 flipped bits, one at a time, in streams and labels: refused, or the value that was saved."""
    graph = big_graph(20_000)
    save(graph, file)
    whole, chance = file.read_bytes(), random.Random(3)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        try:
            assert load(file) == graph
        except CaptureError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize(
    ("name", "column", "words"),
    [
        ("edges", np.array([9] * 6, np.uint32), "edges points outside its table"),
        ("edges", np.zeros(5, np.uint32), "starts must run from 0"),
        ("starts", np.array([0, 2, 1, 4, 5, 6], np.uint32), "starts must not decrease"),
        ("starts", np.zeros(0, np.uint32), "starts must run from 0"),
        ("address", np.zeros(5, np.int64), "no one-dimensional uint64"),
        ("flags", np.zeros(5, np.uint32), "no one-dimensional uint8"),
        ("label_node", np.array([2, 0], np.uint32), "label_node must ascend"),
        ("user_node", np.array([0, 2**32 - 1], np.uint32), "user_node points outside"),
        ("huge_size", np.array([-1], np.int64), "never negative"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_hostile_columns_of_a_graph_are_refused(file, name, column, words):
    """Inside right checks: what types cannot say, the record's own rules do."""
    tree, arrays = parts_of(small_graph())
    assert name in arrays
    forge(file, "heap graph", tree, arrays | {name: column})
    assert words in refusal(file)


def test_an_unknown_root_kind_is_refused(file):
    """Tuples of enumerations are checked value by value."""
    tree, arrays = parts_of(small_graph())
    tree["root_kind"][1] = "wormhole"
    forge(file, "heap graph", tree, arrays)
    assert "root_kind[1]" in refusal(file)


def test_a_column_of_another_width_is_not_saved(file):
    """It would not come back equal."""
    graph = small_graph()
    object.__setattr__(graph, "flags", graph.flags.astype(np.uint32))
    with pytest.raises(UsageError, match=r"HeapGraph\.flags"):
        save(graph, file)


IN_LITTLE_ROOM = """
import resource, sys
from pathlib import Path
import memlab

memlab.load(sys.argv[1])
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20,) * 2)
for path in sys.argv[2:]:
    try:
        memlab.load(path)
        print("loaded")
    except memlab.CaptureError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is a promise on Linux only")
def test_a_bomb_in_a_process_with_little_memory(file, tmp_path):
    """A megabyte that would become a gigabyte and more is refused with room for 64 MiB."""
    save(small_graph(), file)
    bomb = zlib.compress(bytes(8 * MIB), 9)
    rows = [packed_row(bomb, 8 * MIB, part=part) for part in range(200)]
    forge(tmp_path / "bomb.memlab", rows=[row("tree", "json", TREE), *rows])
    endless = zlib.compress(bytes(300 * MIB), 9)
    forge(tmp_path / "more.memlab", rows=[row("tree", "json", TREE), packed_row(endless, 8 * MIB)])
    command = [sys.executable, "-c", IN_LITTLE_ROOM, file, tmp_path / "bomb.memlab", tmp_path / "more.memlab"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    one, two = done.stdout.splitlines()
    assert "unpacks to more than the reader's limit" in one, done.stderr
    assert "has not the size that it declares" in two, done.stderr


def test_the_tree_is_plain_json(file):
    """Any SQL shell reads names and labels without memlab."""
    save(small_graph(), file)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        ((text,),) = connection.execute("SELECT CAST(data AS TEXT) FROM blobs WHERE name = 'tree'").fetchall()
    assert json.loads(text)["label"] == ["module app", "app.big (ndarray)"]
