"""The block-minima test on synthetic series whose truth is known."""

import dataclasses
import itertools
import math
import statistics

import numpy as np
import pytest

from memlab.analyses.growth import COUNTS, MALLOC, RSS, GrowthRule, growth_test
from memlab.analyses.leak_verdict import Findings, judge
from memlab.records.columns import ints
from memlab.records.leak_report import GrowthTest

N = 96
AT = ints(np.arange(1, N + 1) * 10)


def verdict(series, rule=COUNTS):
    test = growth_test("m", ints(np.round(series)), AT, rule)
    return test.grew and test.sustained


def linear(rng):
    return 1000 + np.arange(N) * 3


def rare(rng):
    return np.cumsum(rng.random(N) < 0.5)


def noisy(rng):
    return np.arange(N) * 10 + rng.normal(0, 8, N) + (rng.random(N) < 0.05) * 400


def warm_up_then_leak(rng):
    return np.minimum(np.arange(N), 12) * 500 + np.arange(N) * 2


def sawtooth_and_leak(rng):
    return np.arange(N) % 7 * 50 + np.arange(N) * 10


def late_start(rng):
    return np.maximum(0, np.arange(N) - 20) * 5


def quadratic(rng):
    return np.arange(N) ** 2


def constant(rng):
    return np.full(N, 4242)


def noise(rng):
    return rng.normal(10_000, 50, N)


def filling(rng):
    return np.minimum(np.arange(N), 40) * 20


def saturating(rng):
    return 10_000 * (1 - np.exp(-np.arange(N) / 12))


def sawtooth(rng):
    return np.arange(N) % 16 * 100


def one_late_step(rng):
    return (np.arange(N) > 70) * 5000


def two_late_steps(rng):
    return (np.arange(N) > 50) * 5000 + (np.arange(N) > 80) * 5000


def draining(rng):
    return 100_000 - np.arange(N) * 9


def spikes(rng):
    return (rng.random(N) < 0.2) * 30_000


LEAKS = [linear, rare, noisy, warm_up_then_leak, sawtooth_and_leak, late_start, quadratic]
HEALTHY = [constant, noise, filling, saturating, sawtooth, one_late_step, two_late_steps, draining, spikes]


@pytest.mark.parametrize("shape", LEAKS, ids=lambda f: f.__name__)
def test_growth_without_end_is_found(shape):
    """At least 97 of 100 series of each leaking shape are called growth that goes on."""
    found = sum(verdict(shape(np.random.default_rng(seed))) for seed in range(100))
    assert found >= 97


@pytest.mark.parametrize("shape", HEALTHY, ids=lambda f: f.__name__)
def test_healthy_series_raise_no_alarm(shape):
    """At most 1 of 100 series of each healthy shape is called a leak."""
    assert sum(verdict(shape(np.random.default_rng(seed))) for seed in range(100)) <= 1


def test_a_linear_leak_has_its_exact_rate():
    """Three per ten iterations are three tenths an iteration, with no spread."""
    test = growth_test("m", ints(np.arange(N) * 3), AT, COUNTS)
    assert test.per_iteration == pytest.approx(0.3)
    assert test.low == pytest.approx(0.3)
    assert test.high == pytest.approx(0.3)
    assert test.minima == tuple(range(0, 6 * 36, 36))


def test_the_bound_is_one_over_the_factorial_of_the_blocks():
    """Six blocks in random order rise one time in 720, which simulation confirms."""
    assert growth_test("m", ints(np.arange(N)), AT, COUNTS).false_positive_bound == 1 / math.factorial(6)
    rng = np.random.default_rng(7)
    rises = sum(
        growth_test("m", ints(rng.integers(0, 10**9, N)), AT, GrowthRule(sustain=0.0)).grew
        for _ in range(4000)
    )
    assert rises / 4000 <= 3 / 720


def test_the_interval_holds_the_truth_for_a_noisy_leak():
    """The true rate lies in the 95 % interval in most of 200 noisy series."""
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        test = growth_test("m", ints(np.arange(N) * 50 + rng.normal(0, 20, N)), AT, COUNTS)
        inside += test.low <= 5.0 <= test.high
    assert inside >= 180


def test_too_few_readings_give_no_test():
    """Fewer than two readings a block cannot be tested."""
    assert growth_test("m", ints(range(14)), AT[:14], COUNTS) is None
    assert growth_test("m", ints(range(16)), AT[:16], COUNTS) is not None


def test_resident_growth_in_a_few_jumps_is_not_a_leak():
    """An allocator that keeps each new record peak rises, but not in every window."""
    jumps = np.repeat(np.arange(12), 8) * 400_000
    assert not verdict(jumps, RSS)
    assert verdict(np.arange(N) * 8192, RSS)


def test_resident_growth_below_32_pages_is_noise():
    """A rise of 31 pages over the whole run is no evidence; 60 are."""
    assert not verdict(np.linspace(0, 31 * 4096, N), RSS)
    assert verdict(np.linspace(0, 120 * 4096, N), RSS)


def test_a_leak_just_above_the_stated_least_is_found():
    """What the test says it could have seen, it sees."""
    found = 0
    for seed in range(50):
        quiet = np.random.default_rng(seed).integers(0, 30, N)
        least = growth_test("m", ints(quiet), AT, COUNTS).least
        found += verdict(quiet + AT * least * 2)
    assert found >= 48


@pytest.mark.parametrize(
    ("rises", "verdict"),
    [((90, 60, 22, 19, 18), "warming up"), ((90, 60, 3, 1, 1), "no leak"), ((40, 6, 4, 1, 1), "no leak")],
)
def test_what_slowed_to_less_than_could_be_told_has_stopped(rises, verdict):
    """A table that took its last few entries rose in every block; so few would be noise by themselves."""
    minima = (0, *itertools.accumulate(rises))
    rate = minima[-1] / 800
    blocks = GrowthTest("allocated_blocks", True, False, rate, 0.0, 2 * rate, minima, 1 / 720, 48 / 800)
    judged = judge(Findings((blocks,), enough=True))
    assert judged.verdict == verdict
    assert ("all but stopped" in judged.reason) is (verdict == "no leak")


@pytest.mark.parametrize(
    ("minima", "verdict"),
    [
        ((0, 85, 119, 147, 166, 185), "inconclusive"),  # measured: a healthy test under anyio, blocks alone
        (
            (0, 15, 41, 53, 66, 79),
            "inconclusive",
        ),  # measured: the same after another test; still later it stands
        ((0, 29, 58, 87, 110, 126), "inconclusive"),  # and these under Python 3.13, of 18 iterations a block
        ((0, 22, 47, 66, 85, 94), "inconclusive"),
        ((0, 20, 40, 60, 80, 100), "leak"),
        ((0, 20, 41, 60, 81, 99), "leak"),
    ],
)
def test_blocks_alone_that_no_second_pass_confirms_must_rise_evenly(minima, verdict):
    """Tables fill for a while at a falling rate; without a traced pass that is no proof of a leak."""
    steps = [b - a for a, b in itertools.pairwise(minima)]
    rate, spread = statistics.mean(steps) / 20, 2 * statistics.pstdev(steps) / 20
    blocks = GrowthTest(
        "allocated_blocks", True, True, rate, rate - spread, rate + spread, minima, 1 / 720, 0.1
    )
    still = GrowthTest("tracked_objects", False, False, 0.0, 0.0, 0.0, (0,) * 6, 1 / 720, 0.1)
    assert judge(Findings((blocks, still), enough=True)).verdict == verdict
    rises = dataclasses.replace(blocks, metric="tracked_objects")
    assert judge(Findings((blocks, rises), enough=True)).verdict == "leak"


def test_a_buffer_that_grows_in_great_steps_is_no_record_peak():
    """Most windows stand still between two steps of an eighth; all blocks rise alike, as records do not."""
    size, capacity, read = 0, 0, []
    for _ in range(N):
        size += 4000
        if size > capacity:
            capacity = size + size // 8
        read.append(capacity)
    assert growth_test("malloc_bytes", ints(read), ints(AT // 10), MALLOC).sustained
    assert not growth_test("malloc_bytes", ints(read), ints(AT * 10), MALLOC).sustained, "some bytes a call"
    records = np.maximum.accumulate(np.random.default_rng(3).exponential(100_000, (200, N)), axis=1)
    assert sum(growth_test("malloc_bytes", ints(row), AT, MALLOC).sustained for row in records) <= 2


@pytest.mark.parametrize(
    ("minima", "iterations", "verdict"),
    [
        ((0, 450_000, 900_000, 1_350_000, 1_800_000, 2_250_000), 600, "native leak"),
        ((0, 450_000, 900_000, 1_350_000, 1_800_000, 2_250_000), 60_000, "inconclusive"),  # some bytes a call
        ((0, 45_000, 90_000, 135_000, 180_000, 225_000), 60, "inconclusive"),  # too little to be sure
        ((0, 900_000, 1_400_000, 1_800_000, 2_000_000, 2_150_000), 600, "inconclusive"),  # as a table fills
    ],
)
def test_what_malloc_hands_out_counts_alone_where_it_is_much_and_steady(minima, iterations, verdict):
    """Free pages of the process hide it from resident memory for long."""
    rate = minima[-1] / iterations
    malloc = GrowthTest("malloc_bytes", True, True, rate, rate * 0.9, rate * 1.1, minima, 1 / 720, rate / 20)
    still = GrowthTest("rss_bytes", False, False, 0.0, 0.0, 0.0, (0,) * 6, 1 / 720, rate)
    found = Findings((malloc, still), enough=True, suspects=(), objects_rate=0.0, traced_rate=0.0)
    assert judge(found).verdict == verdict
