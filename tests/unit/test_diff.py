"""Grouping a snapshot and comparing two: exact sums, joined by content, antisymmetric."""

import dataclasses
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memlab._base.ragged import _merge_by_dictionary, merge_equal, take_rows
from memlab.analyses.diff import diff_snapshots
from memlab.analyses.grouping import statistics
from memlab.errors import UsageError
from memlab.records.columns import ints
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import Change

FRAMES = st.tuples(st.sampled_from(["a.py", "b.py", "lib/c.py"]), st.integers(0, 3))
ROWS = st.lists(
    st.tuples(st.lists(FRAMES, min_size=1, max_size=4).map(tuple), st.integers(0, 1), st.integers(1, 99)),
    max_size=12,
)


def make(rows, own=(), **fields):
    """Build a snapshot from (frames, domain, size) rows, each of one block; tables in order of appearance."""
    frames, files, tracebacks = {}, {}, {}
    for trace, _, _ in rows:
        tracebacks.setdefault(trace, len(tracebacks))
        for file, line in trace:
            files.setdefault(file, len(files))
            frames.setdefault((file, line), len(frames))
    return Snapshot(
        traceback=ints([tracebacks[t] for t, _, _ in rows]),
        domain=ints([d for _, d, _ in rows]),
        size_bytes=ints([s for _, _, s in rows]),
        blocks=ints([1] * len(rows)),
        starts=ints(np.cumsum([0, *map(len, tracebacks)])),
        frame_of=ints([frames[f] for t in tracebacks for f in t]),
        frame_file=ints([files[f] for f, _ in frames]),
        frame_line=ints([line for _, line in frames]),
        files=tuple(files),
        own_files=tuple(sorted(files[name] for name in own if name in files)),
        **{"depth": 4, **fields},
    )


def key(frames, by):
    if by == "line":
        return (frames[0],)
    return ((frames[0][0], 0),) if by == "file" else frames


def oracle(rows, by):
    totals = defaultdict(lambda: [0, 0])
    for frames, _, size in rows:
        totals[key(frames, by)][0] += size
        totals[key(frames, by)][1] += 1
    return totals


def site_key(site):
    return tuple((f.file, f.line) for f in site.frames)


A, B, C = ("a.py", 1), ("b.py", 2), ("lib/c.py", 3)
OLD = make([((A, B), 0, 100), ((A, C), 0, 50), ((B,), 0, 7), ((C,), 0, 5)], label="old")
NEW = make([((C,), 0, 5), ((A, C), 1, 90), ((B, A), 0, 30), ((B,), 0, 3)], label="new")


def test_a_line_is_where_the_block_was_allocated_not_its_callers():
    groups = statistics(OLD, "line")
    assert [(site_key(s.site), s.size_bytes) for s in groups.sites] == [
        ((A,), 150),
        ((B,), 7),
        ((C,), 5),
    ]
    assert groups.blocks.tolist() == [2, 1, 1]
    assert len(groups) == 3


def test_a_diff_tells_what_appeared_vanished_grew_and_shrank():
    diff = diff_snapshots(NEW, OLD, "traceback")
    assert [
        (site_key(s.site), s.size_bytes, s.size_diff_bytes, s.blocks_diff, s.change) for s in diff.sites
    ] == [
        ((A, B), 0, -100, -1, Change.VANISHED),
        ((A, C), 90, 40, 0, Change.GREW),
        ((B, A), 30, 30, 1, Change.APPEARED),
        ((B,), 3, -4, 0, Change.SHRANK),
    ]
    assert (diff.older_label, diff.newer_label, diff.by) == ("old", "new", "traceback")
    assert diff.total_diff_bytes == 128 - 162


def test_a_snapshot_does_not_differ_from_itself():
    assert diff_snapshots(NEW, NEW, "traceback").sites == ()


def test_a_site_that_only_traded_blocks_is_told_by_their_number():
    older, newer = make([((A,), 0, 4), ((A,), 0, 4)]), make([((A,), 0, 8)])
    (site,) = diff_snapshots(newer, older).sites
    assert (site.size_diff_bytes, site.blocks_diff, site.change) == (0, -1, Change.SHRANK)


@settings(max_examples=150, deadline=None)
@given(ROWS, ROWS, st.sampled_from(["line", "file", "traceback"]))
def test_groups_and_diffs_are_those_of_a_dictionary(older, newer, by):
    before, after = oracle(older, by), oracle(newer, by)
    groups = statistics(make(newer), by)
    assert {site_key(s.site): [s.size_bytes, s.blocks] for s in groups.sites} == after
    assert groups.size_bytes.tolist() == sorted(groups.size_bytes.tolist(), reverse=True)
    diff = diff_snapshots(make(newer), make(older), by)
    expected = {}
    for name in {*before, *after}:
        change = (after[name][0] - before[name][0], after[name][1] - before[name][1])
        if change != (0, 0):
            expected[name] = change
    assert {site_key(s.site): (s.size_diff_bytes, s.blocks_diff) for s in diff.sites} == expected
    assert diff.total_diff_bytes == sum(s for s, _ in expected.values())
    assert diff.total_diff_blocks == sum(n for _, n in expected.values())


@settings(max_examples=150, deadline=None)
@given(ROWS, ROWS, st.sampled_from(["line", "file", "traceback"]))
def test_the_reverse_diff_is_the_negated_diff(older, newer, by):
    forth, back = diff_snapshots(make(newer), make(older), by), diff_snapshots(make(older), make(newer), by)
    assert forth.total_diff_bytes == -back.total_diff_bytes
    mirrored = {Change.APPEARED: Change.VANISHED, Change.GREW: Change.SHRANK}
    mirrored |= {after: before for before, after in mirrored.items()}
    assert {s.site: (s.size_diff_bytes, s.blocks_diff, s.change) for s in forth.sites} == {
        s.site: (-s.size_diff_bytes, -s.blocks_diff, mirrored[s.change]) for s in back.sites
    }
    assert forth.counts() == {mirrored[change]: count for change, count in back.counts().items()}


def test_different_engines_are_refused_in_a_sentence():
    native = dataclasses.replace(OLD, engine="memray")
    with pytest.raises(UsageError, match="one was recorded by tracemalloc, the other by memray"):
        NEW.diff(native)


@pytest.mark.parametrize("call", [OLD.statistics, lambda by: NEW.diff(OLD, by)])
def test_an_unknown_grouping_is_refused_with_the_known_ones(call):
    with pytest.raises(UsageError, match=r"line, file, function, .* not 'class'"):
        call("class")


def test_other_blocks_than_live_ones_are_not_compared_with_live_ones():
    with pytest.raises(UsageError, match="one holds live blocks, the other peak ones"):
        NEW.diff(dataclasses.replace(OLD, measure="peak"))


@pytest.mark.parametrize("per", [0, -1, 1.5, True, "3"])
def test_per_is_a_number_of_iterations(per):
    with pytest.raises(UsageError, match="per must be a number of iterations"):
        NEW.diff(OLD, per=per)


def test_what_did_not_change_is_listed_when_asked_for():
    diff = NEW.diff(OLD, unchanged=True)
    assert {site_key(s.site): s.change for s in diff.sites}[(C,)] is Change.SAME
    assert C not in {s.site.frames[0] for s in NEW.diff(OLD).sites}
    assert diff.counts()[Change.SAME] == 1


def test_rows_are_made_when_they_are_looked_at_and_equal_their_tuple():
    rows = NEW.diff(OLD, "traceback").sites
    assert rows == tuple(rows)
    assert rows[1:3] == (rows[1], rows[2])
    assert rows[-1] == list(rows)[-1]
    with pytest.raises(IndexError):
        rows[99]


def test_snapshots_of_different_depth_are_compared_by_what_both_have():
    deep, flat = make([((A, B), 0, 10)]), make([((A,), 0, 10)], depth=1)
    diff = diff_snapshots(deep, flat, "traceback")
    assert diff.sites == ()
    assert "most recent 1 frames" in diff.notes[0]


def test_the_users_own_line_is_the_first_in_their_files():
    snapshot = make([((C, A, B), 0, 10), ((C, C), 0, 5)], own=("a.py", "b.py"))
    first, second = (total.site for total in statistics(snapshot, "traceback").sites)
    assert (first.user_frame, second.user_frame) == (1, -1)
    assert (first.user.file, first.user.line) == A


def test_notes_of_both_snapshots_are_carried_once():
    diff = diff_snapshots(
        dataclasses.replace(NEW, notes=("n", "both")), dataclasses.replace(OLD, notes=("both",))
    )
    assert diff.notes == ("both", "n")


def test_two_empty_snapshots_have_no_difference():
    assert diff_snapshots(make([]), make([])).sites == ()
    assert len(statistics(make([]))) == 0


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), max_size=30))
def test_ragged_rows_are_merged_by_content(rows):
    entries, lengths = ints([n for row in rows for n in row]), ints([len(row) for row in rows])
    first, of = merge_equal(entries, lengths)
    assert len(first) == len({tuple(row) for row in rows})
    assert [rows[first[g]] for g in of.tolist()] == rows
    taken, taken_lengths = take_rows(entries, lengths, first)
    assert taken.tolist() == [n for at in first.tolist() for n in rows[at]]
    assert taken_lengths.tolist() == [len(rows[at]) for at in first.tolist()]


def test_rows_that_share_a_hash_are_still_told_apart(monkeypatch):
    import memlab._base.ragged as ragged

    monkeypatch.setattr(ragged, "_mixed", lambda numbers: np.zeros(len(numbers), np.uint64))
    entries, lengths = ints([1, 2, 2, 1, 1, 2]), ints([2, 2, 2])
    first, of = merge_equal(entries, lengths)
    assert of.tolist() == [0, 1, 0]
    assert first.tolist() == [0, 1]
    assert _merge_by_dictionary(entries, lengths.cumsum() - lengths, lengths)[1].tolist() == [0, 1, 0]
