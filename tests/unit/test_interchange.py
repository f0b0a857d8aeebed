"""Snapshots to other tools, and tracemalloc's pickles from strangers, read without harm."""

import builtins
import dataclasses
import io
import json
import os
import pickle
import random
import tracemalloc

import pytest
from samples import snapshot, snapshot_diff, snapshot_table

import memlab
from memlab import CaptureError, MissingExtraError, Snapshot, UsageError
from memlab.views.interchange import collapsed, export, firefox, speedscope

# -- export


def test_speedscope_has_every_byte_at_its_stack():
    """Frames, samples and weights as speedscope's schema has them; stacks run from the oldest call on."""
    taken = snapshot()
    document = json.loads(speedscope(taken))
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames = document["shared"]["frames"]
    sizes, blocks = document["profiles"]
    for profile, unit in ((sizes, "bytes"), (blocks, "none")):
        assert (profile["type"], profile["unit"], profile["startValue"]) == ("sampled", unit, 0)
        assert profile["endValue"] == sum(profile["weights"])
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(0 <= f < len(frames) for stack in profile["samples"] for f in stack)
    assert sizes["endValue"] == taken.total_bytes
    assert blocks["endValue"] == taken.total_blocks
    assert [frames[f]["name"] for f in sizes["samples"][0]] == ["app/service.py:31", "app/models.py:42"]
    assert frames[sizes["samples"][0][1]] == {"name": "app/models.py:42", "file": "app/models.py", "line": 42}


def test_collapsed_stacks_sum_up_and_no_name_breaks_a_line():
    taken = dataclasses.replace(snapshot(), files=("a;b\n.py", "app/service.py", "json/decoder.py"))
    lines = collapsed(taken).splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == taken.total_bytes
    assert len(lines) == 3
    assert all(len(line.rpartition(" ")[0].split(";")) <= 2 for line in lines)


def test_the_firefox_profile_holds_together():
    """Every index of the processed format points into its table; weights are the bytes."""
    taken = snapshot()
    document = json.loads(firefox(taken))
    (thread,) = document["threads"]
    stacks, frames, functions = thread["stackTable"], thread["frameTable"], thread["funcTable"]
    for table in (stacks, frames, functions, thread["samples"]):
        columns = {len(v) for v in table.values() if isinstance(v, list)}
        assert columns == {table["length"]}
    assert all(p is None or p < i for i, p in enumerate(stacks["prefix"])), "a prefix comes before its stack"
    assert max(stacks["frame"]) < frames["length"]
    assert max(frames["func"]) < functions["length"]
    assert max(functions["name"] + functions["fileName"]) < len(thread["stringArray"])
    assert sum(thread["samples"]["weight"]) == taken.total_bytes
    assert thread["samples"]["weightType"] == "bytes"
    assert document["meta"]["preprocessedProfileVersion"] == 47


def test_a_difference_gives_what_grew():
    assert sum(json.loads(speedscope(snapshot_diff()))["profiles"][0]["weights"]) == 4_194_304 + 97_812


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.speedscope.json", "speedscope"),
        ("a.json", "speedscope"),
        ("a.folded", "collapsed"),
        ("a.txt", "collapsed"),
        ("a.firefox.json", "firefox"),
        ("a.csv", "csv"),
    ],
)
def test_the_ending_names_the_form(tmp_path, name, form):
    assert snapshot().export(tmp_path / name) == form
    assert (tmp_path / name).stat().st_size > 50


def test_csv_is_the_table(tmp_path):
    import pandas as pd

    snapshot_table().export(tmp_path / "t.csv")
    assert pd.read_csv(tmp_path / "t.csv").size_bytes.tolist() == snapshot_table().size_bytes.tolist()


def test_parquet_without_pyarrow_gives_the_command_that_installs_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] in ("pyarrow", "fastparquet"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"Parquet needs pyarrow: pip install 'memlab\[parquet\]'"):
        snapshot().export(tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("result", "name", "form", "words"),
    [
        (snapshot(), "a.xyz", None, "names no form"),
        (snapshot(), "a.csv", "yaml", "no form 'yaml'"),
        (snapshot_table(), "a.folded", None, "a table has no stacks"),
        (3, "a.csv", None, "needs a snapshot"),
    ],
)
def test_what_cannot_be_exported_is_said(tmp_path, result, name, form, words):
    with pytest.raises(UsageError, match=words):
        export(result, tmp_path / name, form)
    assert list(tmp_path.iterdir()) == []


# -- import


@pytest.fixture(scope="module")
def dumped(tmp_path_factory):
    tracemalloc.start(5)
    try:
        kept = [[bytes(n % 300)] for n in range(3000)]
        theirs = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    file = tmp_path_factory.mktemp("dumped") / "theirs.pickle"
    theirs.dump(file)
    del kept
    return file, theirs


def test_a_dump_is_the_snapshot_that_was_dumped(dumped):
    file, theirs = dumped
    imported = memlab.import_tracemalloc(file)
    own = Snapshot.from_tracemalloc(theirs, "theirs")
    assert dataclasses.replace(imported, notes=()) == own
    assert imported.notes == ("imported from tracemalloc's own file",)


class Attack:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Shown:
    """Pickled by its class: importing that would run its module."""


def attacks(target):
    """Pickles that run code, read or write files, start processes, or eat memory when they are loaded."""
    touch = f"open({target!r}, 'w').close()"
    plain = [
        Attack(os.system, f"touch {target}"),
        Attack(exec, touch),
        Attack(eval, touch),
        Attack(open, target, "w"),
        Attack(__import__, "antigravity"),
        Attack(builtins.getattr, "x", "__class__"),
        Attack(tracemalloc.Snapshot.load, target),
        Attack(tracemalloc.start),
        Attack(bytearray, 10**12),
        [Attack(os.system, f"touch {target}")],
        {"a": (Attack(exec, touch),)},
        Shown(),
        tracemalloc.Filter(True, "x"),
        io.BytesIO(b"x"),
    ]
    found = [
        pickle.dumps(p, protocol=n)
        for p in plain
        for n in (2, 5)
        if not (n == 2 and isinstance(p, io.BytesIO))
    ]
    # By hand: the old protocol's call, a dotted name through an allowed class, the state of an allowed one.
    found += [
        b"cos\nsystem\n(S'touch " + target.encode() + b"'\ntR.",
        b"\x80\x04\x8c\x0btracemalloc\x8c\x14Snapshot.load.__func__\x93\x8c\x01x\x85R.",
        b"\x80\x04\x8c\x0btracemalloc\x8c\x08Snapshot\x93)R}\x8c\x05statesb.",
        b"\x80\x04\x8c\x0btracemalloc\x8c\x08Snapshot\x93)\x81N}\x8c\x0d__setstate__\x8c\x01xs\x86b.",
        b"\x80\x04\x8c\x0btracemalloc\x8c\x02os\x93.",
        b"\x80\x02Pevil\n.",  # a persistent identity
        b"\x80\x04" + b"]" * 100_000 + b".",
        b"\x80\x04" + b"(" * 100_000,
        b"\x80\x05\x8e" + (2**40).to_bytes(8, "little") + b"x",  # a terabyte is announced
        b"\x80\x04]\x94" + b"(h\x00h\x00l\x94" * 2000 + b".",
    ]
    return found


def test_no_pickle_runs_anything_and_each_gives_one_sentence(tmp_path):
    """Nothing is imported, called, written or started; and not one of them harms the process that asked."""
    target = tmp_path / "pwned"
    file = tmp_path / "evil.pickle"
    for number, content in enumerate(attacks(str(target))):
        file.write_bytes(content)
        with pytest.raises(CaptureError, match=r"^evil\.pickle is refused: ") as caught:
            memlab.import_tracemalloc(file, memory_bytes=512 * 2**20, seconds=10)
        assert "\n" not in str(caught.value), number
        assert not target.exists(), number


def test_a_state_that_lies_is_refused(tmp_path):
    """Everything that a snapshot's pickle can say is checked: ints, names, frames, sums."""
    frame = ("a.py", 1)
    lies = [
        [(0, 2**70, (frame,), 1)],
        [(0, -1, (frame,), 1)],
        [(0, 1, (("a\ud800.py", 1),), 1)],
        [(0, 1, (("x" * 5000, 1),), 1)],
        [(0, 1, (("a.py", 2**40),), 1)],
        [(0, 1, (("a.py", 1.5),), 1)],
        [(0, 1, (), 0)],
        [(0, 1, frame, 1)],
        [(0, 2**61, (frame,), 1)] * 4,
        [["not", "a", "trace"]],
        "no list",
    ]
    file = tmp_path / "lie.pickle"
    for rows in lies:
        lying = tracemalloc.Snapshot([], 1)
        lying.traces._traces = rows
        file.write_bytes(pickle.dumps(lying))
        with pytest.raises(CaptureError, match=r"^lie\.pickle is "):
            memlab.import_tracemalloc(file)


def test_damaged_dumps_give_a_snapshot_or_one_error(tmp_path, dumped):
    """Bytes changed at random places of a real dump: a value or a sentence, never anything else."""
    whole = dumped[0].read_bytes()
    file = tmp_path / "bad.pickle"
    rounds = 400 if os.environ.get("MEMLAB_LONG") else 8
    rng = random.Random(5)
    for _ in range(rounds):
        content = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(rng.randrange(1, 6)):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
        file.write_bytes(content)
        try:
            assert isinstance(memlab.import_tracemalloc(file), Snapshot)
        except CaptureError as error:
            said = str(error)
            assert said.startswith("bad.pickle is ")


def test_a_pickle_that_grows_or_never_ends_is_stopped(tmp_path):
    file = tmp_path / "bomb.pickle"
    # Lists of lists, each ten times the one before, as real objects: memory runs out before it is whole.
    file.write_bytes(
        b"\x80\x05\x8a\x08"
        + (2**62).to_bytes(8, "little")
        + b"0"
        + b"]"
        + b"("
        + b"X\x00\x00\x10\x00"
        + b"x" * 2**20
        + b"N" * 20_000_000
        + b"e."
    )
    with pytest.raises(CaptureError, match=r"^bomb\.pickle is refused: "):
        memlab.import_tracemalloc(file, memory_bytes=150 * 2**20, seconds=20)
    with pytest.raises(CaptureError, match="more than"):
        memlab.import_tracemalloc(file, file_bytes=1000)


def test_what_is_not_there_or_no_file(tmp_path):
    with pytest.raises(CaptureError, match=r"^none\.pickle is not there"):
        memlab.import_tracemalloc(tmp_path / "none.pickle")
    with pytest.raises(CaptureError, match="is no file"):
        memlab.import_tracemalloc(tmp_path)
    with pytest.raises(UsageError, match="seconds must be"):
        memlab.import_tracemalloc(tmp_path / "x", seconds=0)


def test_load_does_not_take_a_pickle(dumped):
    with pytest.raises(CaptureError, match="is no memlab capture"):
        memlab.load(dumped[0])
