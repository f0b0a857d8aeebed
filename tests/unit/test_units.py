"""Sizes and durations as text, and sizes read from text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlab._base.units import (
    format_bytes,
    format_count,
    format_seconds,
    format_signed_bytes,
    parse_bytes,
)
from memlab.errors import UsageError


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (-1, "-1 B"),
        (0.25, "0.25 B"),
        (1023, "1,023 B"),
        (1024, "1.00 KiB"),
        (-1536, "-1.50 KiB"),
        (10 * 1024, "10.0 KiB"),
        (100 * 1024, "100 KiB"),
        (1024**2, "1.00 MiB"),
        (1024**3, "1.00 GiB"),
        (1024**4, "1.00 TiB"),
        (5 * 1024**5, "5120 TiB"),
    ],
)
def test_format_bytes(count, text):
    """Three significant digits and a power of 1024, up to TiB."""
    assert format_bytes(count) == text


@pytest.mark.parametrize(("count", "text"), [(1, "+1 B"), (-1, "-1 B"), (0, "0 B"), (2048, "+2.00 KiB")])
def test_a_growth_carries_its_sign(count, text):
    """Nought has no sign."""
    assert format_signed_bytes(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(12000, "12,000"), (0.1, "0.1"), (3.0004, "3"), (0, "0"), (0.0004, "0"), (1.25, "1.25")],
)
def test_format_count(count, text):
    """Whole where it is whole to the last digit shown."""
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (3e-9, "3 ns"),
        (2.1e-6, "2.1 µs"),
        (0.25, "250 ms"),
        (1.5, "1.5 s"),
        (59.4, "59 s"),
        (60, "1 min 0 s"),
        (75, "1 min 15 s"),
        (3601, "60 min 1 s"),
    ],
)
def test_format_seconds(seconds, text):
    """The unit is the one that a person would choose."""
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ("24 MiB", 24 * 2**20),
        ("24MB", 24 * 2**20),
        ("512k", 512 * 2**10),
        ("1.5K", 1536),
        (" 3 gib ", 3 * 2**30),
        ("2t", 2 * 2**40),
        ("7", 7),
        ("7b", 7),
        (10, 10),
        (10.9, 10),
        (0, 0),
    ],
)
def test_parse_bytes(size, count):
    """K, M, G and T are powers of 1024, with or without the i."""
    assert parse_bytes(size) == count


@pytest.mark.parametrize("size", ["", "MiB", "1 xb", "-1", "1e9", "1,000", math.nan, math.inf, -1, -0.5])
def test_a_size_that_cannot_be_read_says_how_to_write_it(size):
    """Every bad size is one UsageError that quotes it."""
    with pytest.raises(UsageError, match="size") as caught:
        parse_bytes(size)
    assert repr(size) in str(caught.value)


@given(st.integers(0, 2**50))
def test_what_is_written_is_read_back_within_its_digits(count):
    """Text keeps three significant digits."""
    back = parse_bytes(format_bytes(count).replace(",", ""))
    assert back == pytest.approx(count, rel=0.006)
