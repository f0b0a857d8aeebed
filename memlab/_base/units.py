"""Sizes and durations as text. Numbers inside memlab are always bytes and seconds; only text has units."""

import math
import re

from memlab.errors import UsageError

__all__ = [
    "format_bytes",
    "format_count",
    "format_seconds",
    "format_signed_bytes",
    "format_things",
    "parse_bytes",
]

_STEP = 1024
_PREFIXES = ("KiB", "MiB", "GiB", "TiB")
_FACTORS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(b|[kmgt]i?b?)?\s*", re.IGNORECASE)
_TEN = 10
_HUNDRED = 100
_MINUTE = 60.0


def format_bytes(count: float) -> str:
    """Write a size with three significant digits.

    >>> format_bytes(1536), format_bytes(99), format_bytes(0.25), format_bytes(4.5e9)
    ('1.50 KiB', '99 B', '0.25 B', '4.19 GiB')
    """
    if abs(count) < _STEP:
        return f"{_short(count)} B"
    value = float(count)
    unit = ""
    for prefix in _PREFIXES:
        unit = prefix
        value /= _STEP
        if abs(value) < _STEP:
            break
    digits = 2 if abs(value) < _TEN else 1 if abs(value) < _HUNDRED else 0
    return f"{value:.{digits}f} {unit}"


def format_signed_bytes(count: float) -> str:
    """Write a growth: a size that always carries its sign, except nought.

    >>> format_signed_bytes(2048), format_signed_bytes(-1), format_signed_bytes(0)
    ('+2.00 KiB', '-1 B', '0 B')
    """
    return f"+{format_bytes(count)}" if count > 0 else format_bytes(count)


def format_count(count: float) -> str:
    """Write a number of things, whole where it is whole.

    >>> format_count(12000), format_count(0.1), format_count(3.0004)
    ('12,000', '0.1', '3')
    """
    return _short(count)


def format_things(count: float, one: str, many: str = "") -> str:
    """Write a number with what it counts.

    >>> format_things(1.0, "object"), format_things(2.5, "entry", "entries"), format_things(0, "block")
    ('1 object', '2.5 entries', '0 blocks')
    """
    number = _short(count)
    return f"{number} {one if number == '1' else many or one + 's'}"


def format_seconds(seconds: float) -> str:
    """Write a duration in the unit that a person would choose.

    >>> format_seconds(0.0000021), format_seconds(0.25), format_seconds(75)
    ('2.1 µs', '250 ms', '1 min 15 s')
    """
    if not math.isfinite(seconds):
        return f"{seconds} s"
    if seconds >= _MINUTE:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor:
            return f"{_significant(seconds / factor)} {unit}"
    return f"{seconds * 1e9:.0f} ns" if seconds else "0 s"


def parse_bytes(size: float | str) -> int:
    """Read a size such as ``"24 MiB"``, ``"512k"`` or a plain number of bytes.

    K, M, G and T are powers of 1024 with or without the ``i``.

    >>> parse_bytes("24 MiB"), parse_bytes("1.5k"), parse_bytes(10)
    (25165824, 1536, 10)
    """
    if isinstance(size, (int, float)):
        if not math.isfinite(size) or size < 0:
            raise UsageError(f"a size must be a number of bytes, not {size!r}")
        return int(size)
    match = _SIZE.fullmatch(size)
    if match is None:
        raise UsageError(f"cannot read the size {size!r}: write it like '24 MiB', '512 KiB' or 4096")
    number, unit = match.groups()
    return int(float(number) * _FACTORS[(unit or "")[:1].lower()])


def _short(value: float) -> str:
    if not math.isfinite(value):
        return str(value)  # only a foreign file holds such a figure: shown as what it is
    nearest = round(value)
    if abs(value - nearest) < 0.005 or abs(value) >= _HUNDRED:  # noqa: PLR2004 - the last digit shown
        return f"{nearest:,}"
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 0.01 else f"{value:.2g}"  # noqa: PLR2004


def _significant(value: float) -> str:
    return f"{value:.0f}" if value >= _TEN else f"{value:.1f}"
