"""Stacks merged into a tree: exact sums at every row, bounded without losing a byte, recursion told once."""

import dataclasses
import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stacks import make

from memlab.analyses.flame import flame_tree, package_of
from memlab.errors import UsageError
from memlab.records.columns import ints
from memlab.records.flame import FlameTree

FRAMES = st.tuples(st.sampled_from(["a.py", "b.py", "lib/c.py"]), st.integers(1, 3))
ROWS = st.lists(
    st.tuples(st.lists(FRAMES, min_size=1, max_size=6).map(tuple), st.integers(0, 1), st.integers(1, 99)),
    max_size=14,
)


def path_of(tree, row):
    """The frames from the root to a row, as (file, line)."""
    path = []
    while row > 0:
        frame = int(tree.frame[row])
        path.append((tree.files[int(tree.frame_file[frame])], int(tree.frame_line[frame])))
        row = int(tree.parent[row])
    return tuple(reversed(path))


def told(tree, side):
    """What a tree says: path -> own bytes, all bytes, own blocks, all blocks."""
    columns = (side.self_bytes, side.total_bytes, side.self_blocks, side.total_blocks)
    return {path_of(tree, row): tuple(int(c[row]) for c in columns) for row in range(len(tree))}


def oracle(rows, inverted=False):
    sums = defaultdict(lambda: [0, 0, 0, 0])
    sums[()] = [0, 0, 0, 0]
    for frames, _, size in rows:
        path = frames if inverted else frames[::-1]
        for depth in range(len(path) + 1):
            here = sums[path[:depth]]
            here[1] += size
            here[3] += 1
        sums[path][0] += size
        sums[path][2] += 1
    return {path: tuple(values) for path, values in sums.items()}


def without_empty(said, paths):
    return {path: said.get(path, (0, 0, 0, 0)) for path in paths}


@given(ROWS, ROWS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_each_row_holds_what_a_plain_dictionary_of_paths_does(new, old, inverted):
    tree = flame_tree(make(new, depth=6), make(old, depth=6), inverted=inverted, merge_recursion=False)
    expected = oracle(new, inverted), oracle(old, inverted)
    paths = expected[0].keys() | expected[1].keys()
    assert told(tree, tree.now) == without_empty(expected[0], paths)
    assert told(tree, tree.before) == without_empty(expected[1], paths)
    for side, rows in ((tree.now, new), (tree.before, old)):
        by_frame = Counter()
        for frames, _, size in rows:
            by_frame[frames[0]] += size
        for i, size in enumerate(side.frame_bytes.tolist()):
            assert size == by_frame[(tree.files[int(tree.frame_file[i])], int(tree.frame_line[i]))]


@given(ROWS, ROWS, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_a_bounded_tree_folds_frames_and_loses_no_byte(new, old, rows):
    whole = flame_tree(make(new, depth=6), make(old, depth=6), merge_recursion=False)
    tree = flame_tree(make(new, depth=6), make(old, depth=6), rows=rows, merge_recursion=False)
    assert len(tree) == min(rows, len(whole))
    assert len(tree) + int(tree.folded.sum()) == len(whole)
    for side, full in ((tree.now, whole.now), (tree.before, whole.before)):
        said, expected = told(tree, side), told(whole, full)
        assert {path: expected[path] for path in said} == said
        assert int(side.self_bytes.sum() + tree.rest_bytes(side).sum()) == int(full.total_bytes[0])
        assert not tree.rest_bytes(side)[tree.folded == 0].any()
        assert side.frame_bytes.tolist() == full.frame_bytes.tolist()


@given(ROWS, ROWS)
@settings(max_examples=40, deadline=None)
def test_siblings_lie_together_greatest_first(new, old):
    tree = flame_tree(make(new, depth=6), make(old, depth=6))
    greater = np.maximum(tree.now.total_bytes, tree.before.total_bytes)
    for row in range(1, len(tree) - 1):
        if tree.parent[row] == tree.parent[row + 1]:
            assert greater[row] >= greater[row + 1]


@pytest.mark.parametrize(
    ("stack", "once", "times"),
    [
        ("abbbc", "abc", (1, 3, 1)),
        ("xababababy", "xaby", (1, 4, 4, 1)),
        ("abcabcab", "abcab", (2, 2, 2, 1, 1)),
        ("aaaa", "a", (4,)),
        ("abcba", "abcba", (1, 1, 1, 1, 1)),
        ("abbabb", "ab", (2, 4)),
    ],
)
def test_recursion_is_merged_and_counted(stack, once, times):
    """A group of frames that recurs right under itself stays once; the allocating line comes first here."""
    tree = flame_tree(make([(tuple((c, 1) for c in stack), 0, 10)], depth=len(stack)), inverted=True)
    assert path_of(tree, len(tree) - 1) == tuple((c, 1) for c in once)
    assert tuple(tree.repeats[1:].tolist()) == times
    assert tree.now.total_bytes.tolist() == [10] * len(tree)  # once in each row


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=14), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_no_row_stands_under_a_row_of_its_own_frame(stacks):
    rows = [(tuple((c, 1) for c in stack), 0, 7) for stack in stacks]
    tree = flame_tree(make(rows, depth=14))
    for row in range(1, len(tree)):
        assert tree.frame[row] != tree.frame[tree.parent[row]]
    assert tree.total_bytes == 7 * len(rows)


def test_the_import_system_is_left_out_between_callers_but_not_where_it_allocates():
    bootstrap = ("<frozen importlib._bootstrap>", 241)
    stacks = [
        ((("lib/a.py", 1), bootstrap, bootstrap, ("app.py", 3)), 0, 10),
        ((bootstrap, bootstrap, ("app.py", 3)), 0, 5),
    ]
    tree = flame_tree(make(stacks, depth=5))
    assert {path_of(tree, row) for row in range(len(tree))} == {
        (),
        (("app.py", 3),),
        (("app.py", 3), ("lib/a.py", 1)),
        (("app.py", 3), bootstrap),
    }
    shown = flame_tree(make(stacks, depth=5), import_frames=True)
    assert (("app.py", 3), bootstrap, ("lib/a.py", 1)) in {path_of(shown, row) for row in range(len(shown))}


def test_frames_can_be_files():
    stacks = [((("a.py", 1), ("b.py", 2)), 0, 10), ((("a.py", 9), ("b.py", 7)), 0, 5)]
    tree = flame_tree(make(stacks), by="file")
    assert told(tree, tree.now)[(("b.py", 0), ("a.py", 0))] == (15, 15, 2, 2)


def test_notes_say_how_deep_stacks_were_recorded():
    deep = make([((("a.py", 1), ("b.py", 2)), 0, 2048)], depth=2)
    assert flame_tree(deep).notes == (
        "stacks were recorded to 2 frames: callers beyond that of 2.00 KiB are not known",
    )
    shallow = make([((("a.py", 1),), 0, 10)], depth=1)
    assert "only the allocating line" in flame_tree(shallow).notes[0]
    assert flame_tree(deep, shallow).notes[0] == "compared by the most recent 1 frames, which both have"


def test_an_empty_snapshot_is_a_root_alone():
    tree = flame_tree(make([]), make([]))
    assert (len(tree), tree.total_bytes, tree.total_diff_bytes) == (1, 0, 0)


def test_bad_arguments_are_told():
    one = make([((("a.py", 1),), 0, 1)])
    with pytest.raises(UsageError, match="by must be one of line, function, file, not 'module'"):
        flame_tree(one, by="module")
    for rows in (0, 1.5, True, 10**9):
        with pytest.raises(UsageError, match="rows must be a whole number"):
            flame_tree(one, rows=rows)
    with pytest.raises(UsageError, match="take both with the same engine"):
        flame_tree(one, make([((("a.py", 1),), 0, 1)], engine="memray"))


def test_a_difference_keeps_what_was_compared_and_gives_its_tree():
    one, two = make([((("a.py", 1),), 0, 1)]), make([((("a.py", 1),), 0, 3)])
    diff = two.diff(one)
    assert (diff.older, diff.newer) == (one, two)
    assert diff.flame().total_diff_bytes == 2
    with pytest.raises(UsageError, match="keeps no stacks"):
        dataclasses.replace(diff, older=None).flame()


def test_the_record_refuses_what_is_no_tree():
    tree = flame_tree(make([((("a.py", 1), ("b.py", 2)), 0, 10), ((("c.py", 1),), 0, 5)]))
    for column, values in {
        "parent": [-1, 0, 0, 3],
        "frame": [-1, 0, 1, 99],
        "folded": [0, 0, 0, -1],
        "repeats": [1, 1, 1, 0],
        "frame_file": [0, 1, 9],
        "file_package": [0, 0, 9],
    }.items():
        with pytest.raises(ValueError, match="flame tree"):
            dataclasses.replace(tree, **{column: ints(values)})
    for total in ([10, 10, 5, 10], [15, 10, 5, 1 << 50], [15, 10, 5, -1]):
        with pytest.raises(ValueError, match="flame tree"):
            dataclasses.replace(tree, now=dataclasses.replace(tree.now, total_bytes=ints(total)))


def test_a_tree_is_the_same_however_the_snapshots_number_their_tables():
    rows = [(tuple((f"{n % 3}.py", n % k + 1) for n in range(4)), 0, 10 + k) for k in range(1, 6)]
    trees = [flame_tree(make(list(order), depth=4)) for order in itertools.permutations(rows, 5)]
    assert all(isinstance(t, FlameTree) for t in trees)
    assert all(t == trees[0] for t in trees[1:])


def test_packages_come_from_labels():
    assert package_of("pandas/core/frame.py") == "pandas"
    assert package_of("worker.py") == "worker"
    assert package_of("<string>") == "<string>"
    assert np.array_equal(flame_tree(make([((("x/a.py", 1),), 0, 1)])).file_package, [0])
