"""Thinning keeps every peak of every stretch, whatever the readings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memlab.analyses.decimation import decimated, extremes
from memlab.errors import UsageError
from memlab.records.columns import floats, ints
from memlab.records.timeline import Timeline


@st.composite
def series(draw):
    count = draw(st.integers(1, 400))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = rng.choice([0.0, 0.001, 0.01, 1.0], count)
    return np.cumsum(steps), rng.integers(-5, 6, count)


@settings(deadline=None, max_examples=60)
@given(series(), st.integers(1, 40))
def test_each_stretch_keeps_its_first_least_greatest_and_last(given_series, stretches):
    time, values = given_series
    kept = extremes(time, values, stretches)
    assert len(kept) <= max(4 * stretches, 1)
    assert (np.diff(kept) > 0).all()
    assert {0, len(values) - 1} <= set(kept.tolist())
    # The envelope over any stretch is that of all readings in it.
    edges = np.linspace(time[0], time[-1], stretches + 1)
    inner = np.searchsorted(time, edges[1:-1], "right")
    for part in np.split(np.arange(len(values)), inner):
        if len(part):
            of_kept = values[np.intersect1d(part, kept)]
            assert (of_kept.min(), of_kept.max()) == (values[part].min(), values[part].max())


def test_a_million_readings_keep_a_peak_of_one_reading():
    time = floats(np.arange(1_000_000) * 0.001)
    rss = np.full(1_000_000, 50_000_000)
    rss[654_321] = 90_000_000
    rss[123] = 1_000
    line = Timeline(time, {"rss_bytes": ints(rss), "blocks": ints(np.arange(1_000_000))})
    thin = decimated(line, 2000)
    assert len(thin) <= 8000
    assert (thin.high_water_mark(), int(thin.metrics["rss_bytes"].min())) == (90_000_000, 1_000)
    at = int(thin.metrics["rss_bytes"].argmax())
    assert (thin.time_s[at], thin.metrics["blocks"][at]) == (654.321, 654_321)
    assert thin.taken == 1_000_000


def test_what_cannot_be_thinned_is_refused_in_words():
    line = Timeline(floats([0, 1]), {"rss_bytes": ints([1, 2])})
    with pytest.raises(UsageError, match="at least 1 stretch"):
        decimated(line, 0)
    with pytest.raises(UsageError, match="it has no uss_bytes; there is rss_bytes"):
        decimated(line, 5, "uss_bytes")
    assert decimated(line, 5) == Timeline(line.time_s, line.metrics, taken=2)
