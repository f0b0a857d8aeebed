"""Hypothesis strategies for records, made from their own type hints: a new field is tried by itself.

Only what a type cannot say (equal lengths, indexes into tables) is written out by hand.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st

from memlab.records.columns import floats, ints
from memlab.records.snapshot import Frame, Site, Snapshot
from memlab.records.timeline import Timeline

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def results(cls):
    """Return a strategy for a record class."""
    return _from_hint(cls)


def _from_hint(hint):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(st.none(), *(_from_hint(a) for a in arguments if a is not type(None)))
    if origin is tuple:
        return st.lists(_from_hint(arguments[0]), max_size=2).map(tuple)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(TEXT, _from_hint(arguments[1]), max_size=2)
    if hint in BY_HAND:
        return BY_HAND[hint]()
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{f.name: _from_hint(hints[f.name]) for f in dataclasses.fields(hint)})
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    return {int: INT64, float: st.floats(), str: TEXT, bool: st.booleans()}[hint]


def _column(length, elements=INT64):
    return st.lists(elements, min_size=length, max_size=length).map(ints)


@st.composite
def _timelines(draw):
    length = draw(st.integers(0, 4))
    times = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=length, max_size=length)
    names = st.dictionaries(TEXT.filter(lambda name: name != "time_s"), _column(length), max_size=3)
    labels = st.dictionaries(TEXT, TEXT, max_size=2)
    return Timeline(floats(sorted(draw(times))), draw(names), draw(labels), draw(labels), draw(TEXT))


@st.composite
def _sites(draw):
    frames = tuple(draw(st.lists(_from_hint(Frame), min_size=1, max_size=3)))
    return Site(frames, draw(st.integers(-1, len(frames) - 1)))


@st.composite
def _snapshots(draw):
    files = tuple(draw(st.lists(TEXT, min_size=1, max_size=3)))
    frames, depths = draw(st.integers(1, 4)), draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    rows, entries = draw(st.integers(0, 5)), sum(depths)
    return Snapshot(
        traceback=draw(_column(rows, st.integers(0, len(depths) - 1))),
        domain=draw(_column(rows)),
        size_bytes=draw(_column(rows)),
        blocks=draw(_column(rows)),
        starts=ints([0, *np.cumsum(depths)]),
        frame_of=draw(_column(entries, st.integers(0, frames - 1))),
        frame_file=draw(_column(frames, st.integers(0, len(files) - 1))),
        frame_line=draw(_column(frames)),
        files=files,
        engine=draw(TEXT),
        depth=draw(INT64),
        label=draw(TEXT),
        notes=tuple(draw(st.lists(TEXT, max_size=2))),
    )


BY_HAND = {Timeline: _timelines, Site: _sites, Snapshot: _snapshots}
