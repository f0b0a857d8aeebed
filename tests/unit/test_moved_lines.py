"""Lines that moved between two versions of a file are joined by what they say."""

import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import memlab
from memlab.analyses.moved_lines import line_map
from memlab.records.snapshot_tables import Change

PROGRAM = """
    import sys

    import memlab

    kept = []


    def load(rows):
        kept.extend(bytes(100 + n % 9) for n in range(rows))
        kept.append(bytearray(50_000))


    class Cache:
        def fill(self, rows):
            self.rows = [bytes(300) for _ in range(rows)]
            self.index = {n: str(n) * 20 for n in range(rows)}
            kept.append(bytearray(50_000))


    def main(label):
        with memlab.tracing(depth=4) as trace:
            load(2000)
            cache = Cache()
            cache.fill(1000)
            snapshot = trace.snapshot(label, sources=sys.argv[3] if len(sys.argv) > 3 else "own")
        snapshot.save(sys.argv[2])


    main(sys.argv[1])
"""


def run(folder, text, label, *more):
    (folder / "prog.py").write_text(text)
    subprocess.run(
        [sys.executable, "prog.py", label, f"{label}.memlab", *more], cwd=folder, check=True, timeout=60
    )
    return memlab.load(folder / f"{label}.memlab")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("moved")


@pytest.fixture(scope="module")
def before(folder):
    return run(folder, textwrap.dedent(PROGRAM), "before")


def joined(diff, newer):
    """Return the share of the newer snapshot's bytes in sites that the older one has too."""
    new = sum(s.size_bytes for s in diff.sites if s.change is Change.APPEARED)
    return 1 - new / newer.total_bytes


@pytest.mark.parametrize("by", ["line", "traceback"])
def test_ten_lines_above_and_at_least_95_percent_of_the_bytes_still_join(folder, before, by):
    edited = "# one more\n" * 5 + textwrap.dedent(PROGRAM).replace(
        "kept = []\n", "kept = []\n" + "x = 1\n" * 5
    )
    after = run(folder, edited, "after")
    diff = after.diff(before, by, unchanged=True)
    assert joined(diff, after) >= 0.95
    assert any("prog.py was edited in between" in note for note in diff.notes)
    moved = {s.site.frame.line: s.moved_from for s in diff.sites if s.site.frame.file == "prog.py"}
    assert moved
    assert all(line - was == 10 for line, was in moved.items())
    assert not any(s.size_diff_bytes > 2000 for s in after.diff(before, by).sites), (
        "nothing grew but the noise"
    )


def test_a_change_is_told_at_its_line_though_all_lines_moved(folder, before):
    edited = "\n" * 12 + textwrap.dedent(PROGRAM).replace("bytes(300)", "bytes(3000)")
    after = run(folder, edited, "bigger")
    first = after.diff(before).sites[0]
    assert first.site.frame.function == "Cache.fill"
    assert first.change is Change.GREW
    assert 2_600_000 < first.size_diff_bytes < 2_800_000
    assert first.moved_from == first.site.frame.line - 12


def test_a_line_that_is_gone_is_not_the_one_that_has_its_number_now(folder, before):
    text = textwrap.dedent(PROGRAM)
    edited = text.replace(
        "        self.rows = [bytes(300) for _ in range(rows)]\n",
        "        self.other = tuple(map(list, range(0)))\n",
    )
    after = run(folder, edited, "gone")
    sites = {
        (s.change, s.site.frame.line) for s in after.diff(before).sites if s.site.frame.file == "prog.py"
    }
    line = text.splitlines().index("        self.rows = [bytes(300) for _ in range(rows)]") + 1
    assert (Change.VANISHED, line) in sites
    assert not any(change is Change.SHRANK and at == line for change, at in sites)


def test_another_version_of_a_library_is_said_not_guessed(folder, before):
    import dataclasses

    from memlab.records.columns import ints

    sizes = before.file_bytes.copy()
    library = next(i for i in range(len(sizes)) if i not in before.own_files and sizes[i] > 0)
    sizes[library] += 1
    other = dataclasses.replace(before, file_bytes=ints(sizes))
    (note,) = before.diff(other).notes
    assert before.files[library] in note
    assert 'sources="all"' in note


def test_a_cell_that_ran_again_under_another_number_is_the_same_file(before):
    import dataclasses

    renamed = dataclasses.replace(
        before, files=tuple("Cell In[3]" if f == "prog.py" else f for f in before.files)
    )
    again = dataclasses.replace(
        before, files=tuple("Cell In[7]" if f == "prog.py" else f for f in before.files)
    )
    diff = again.diff(renamed, "traceback")
    assert diff.sites == ()
    assert diff.notes == ("Cell In[3] is compared with Cell In[7]: the same text",)


def test_without_line_hashes_lines_are_compared_by_number(folder, before):
    after = run(folder, "\n" * 3 + textwrap.dedent(PROGRAM), "blind", "none")
    assert joined(after.diff(before), after) < 0.5


def hashes(text):
    return np.array([0 if c == " " else ord(c) for c in text], np.uint32)


@pytest.mark.parametrize(
    ("older", "newer", "expected"),
    [
        ("", "abc", []),
        ("abc", "", [0, 0, 0]),
        ("abc", "abc", [1, 2, 3]),
        ("abc", "xxabc", [3, 4, 5]),
        ("abcd", "abd", [1, 2, 0, 3]),
        ("abXcdY", "cdYabX", [4, 5, 6, 1, 2, 3]),  # two blocks changed places
        ("a)b)c)", "a)xb)yc)", [1, 2, 4, 5, 7, 8]),
        ("a b", "a  b", [1, 2, 4]),
    ],
)
def test_which_line_is_which(older, newer, expected):
    assert line_map(hashes(older), hashes(newer)).tolist() == expected


@pytest.mark.parametrize("seed", range(20))
def test_random_edits_map_lines_to_equal_lines_and_each_at_most_once(seed):
    rng = random.Random(seed)
    old = [rng.randrange(40) for _ in range(rng.randrange(200))]
    new = list(old)
    for _ in range(rng.randrange(12)):
        at = rng.randrange(len(new) + 1)
        if rng.random() < 0.5:
            new[at:at] = [rng.randrange(40) for _ in range(rng.randrange(10))]
        else:
            del new[at : at + rng.randrange(6)]
    mapped = line_map(np.array(old, np.uint32), np.array(new, np.uint32)).tolist()
    there = [(old[i], new[j - 1]) for i, j in enumerate(mapped) if j]
    assert all(a == b for a, b in there)
    assert len({j for j in mapped if j}) == len(there)
    assert len(there) >= 0.9 * (len(old) - 12 * 6)
