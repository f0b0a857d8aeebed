"""Pictures: thinning loses no peak, ticks are round and differ, the ratchet is the test's own."""

from __future__ import annotations

import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from memlab.analyses.growth import COUNTS, growth_test
from memlab.records.columns import floats, ints
from memlab.records.timeline import Timeline
from memlab.views.geometry import Scale, pick, ratchet, round_ticks, tick_label
from memlab.views.sites import top_lines
from memlab.views.time_charts import timeline_chart

SIZES = st.integers(-(2**50), 2**50)


@settings(max_examples=150, deadline=None)
@given(st.lists(SIZES, min_size=1, max_size=900), st.integers(1, 40))
def test_thinning_keeps_every_extreme_and_both_ends(values, buckets):
    """First, last, least and greatest reading are always drawn, in order and within the room there is."""
    column = ints(values)
    kept = pick(column, buckets).tolist()
    assert kept == sorted(set(kept))
    assert kept[0] == 0
    assert kept[-1] == len(values) - 1
    assert max(column[kept]) == max(values)
    assert min(column[kept]) == min(values)
    assert len(kept) <= max(4 * buckets, len(values) if len(values) <= 4 * buckets else 0)


def test_a_peak_of_one_sample_in_a_million_is_drawn():
    """A spike one sample wide in a long recording stands on the page with its value."""
    values = np.full(1_000_000, 2**26)
    values[700_001] = 2**30
    timeline = Timeline(floats(np.arange(1_000_000) * 0.001), {"rss_bytes": ints(values)})
    chart = timeline_chart(timeline, "rss_bytes", 0)
    assert "700.001 s: 1.00 GiB" in chart.say
    assert len(chart.line) <= 800
    assert chart.value == "greatest 1.00 GiB"


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(0, 2**50), st.booleans())
def test_ticks_enclose_the_range_and_no_two_read_the_same(low, span, sizes):
    """Ticks are evenly spaced, few, around the data, and each has a label of its own."""
    ticks = round_ticks(float(low), float(low + span), sizes=sizes)
    assert ticks[0] <= low
    assert ticks[-1] >= low + span
    assert 2 <= len(ticks) <= 8
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[0])
    labels = [tick_label(t, float(steps[0]), sizes=sizes) for t in ticks]
    assert len(set(labels)) == len(labels)


def test_a_scale_is_straight_and_takes_a_point():
    """Ends go to ends; a range of one value goes to the middle."""
    scale = Scale(10.0, 20.0, 100.0, 0.0)
    assert (scale(10), scale(15), scale(20)) == (100.0, 50.0, 0.0)
    assert Scale(5.0, 5.0, 0.0, 10.0)(5.0) == 5.0


@pytest.mark.parametrize("rounds", [24, 25, 31, 48, 200])
def test_the_ratchet_is_found_again_in_the_readings(rounds):
    """The blocks drawn are those that the real test was made from, whatever the number of rounds."""
    chance = np.random.default_rng(rounds)
    values = ints(1000 + np.arange(rounds) * 7 + chance.integers(0, 40, rounds))
    test = growth_test("objects", values, ints(np.arange(rounds)), COUNTS)
    blocks = ratchet(values, test)
    assert len(blocks) == COUNTS.blocks
    first = int(values[blocks[0].lowest])
    assert tuple(int(values[b.lowest]) - first for b in blocks) == test.minima
    assert blocks[-1].stop == rounds


def test_a_ratchet_that_does_not_fit_the_readings_is_not_drawn():
    """Readings that give other minima than the record's get no steps: only what was tested is drawn."""
    report = samples.leak_report()
    test = report.test("rss_bytes")
    assert ratchet(ints(report.series.metrics["rss_bytes"][::-1].copy()), test) == ()
    assert ratchet(ints([1, 2]), test) == ()


def test_lines_are_summed_over_tracebacks_and_domains():
    """A line's total holds every row that it allocated, once."""
    lines = top_lines(samples.snapshot())
    assert [(str(line.frame), line.size_bytes, line.blocks) for line in lines] == [
        ("app/models.py:42", 8_388_704, 1001),
        ("app/models.py:57", 524_288, 128),
        ("json/decoder.py:353", 1536, 3),
    ]
    assert sum(line.size_bytes for line in lines) == samples.snapshot().total_bytes
