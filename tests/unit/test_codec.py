"""The codec: records to plain data and back, and what it refuses on the way back."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping  # noqa: TC003 - the codec reads the hints at run time

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import results

from memlab.errors import CaptureError
from memlab.records import codec
from memlab.records.columns import Floats, Ints, floats, ints
from memlab.records.leak_report import Verdict
from memlab.store.kinds import KINDS


@dataclasses.dataclass(frozen=True, slots=True)
class Inner:
    count: int
    share: float = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Outer:
    name: str
    inner: Inner
    verdict: Verdict = Verdict.LEAK
    many: tuple[Inner, ...] = ()
    maybe: float | None = None
    flag: bool = False
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    columns: Mapping[str, Ints] = dataclasses.field(default_factory=dict)
    times: Floats = dataclasses.field(default_factory=lambda: floats([]))

    def __post_init__(self):
        if self.name == "odd":
            raise ValueError("outer: an odd name")


def tree(**changes):
    return {"name": "a", "inner": {"count": 1, "share": 0.25}, **changes}


def decoded(changes=None, arrays=None):
    return codec.decode(Outer, codec.Encoded(tree(**(changes or {})), arrays or {}))


def test_encode_splits_columns_from_the_tree():
    """Arrays are named by their path; enums are their value; the rest is JSON."""
    value = Outer("a", Inner(1), columns={"rss": ints([1, 2])}, many=(Inner(2),))
    encoded = codec.encode(value)
    assert encoded.arrays.keys() == {"columns/rss", "times"}
    assert encoded.tree == {
        "name": "a",
        "inner": {"count": 1, "share": 0.5},
        "verdict": "leak",
        "many": [{"count": 2, "share": 0.5}],
        "maybe": None,
        "flag": False,
        "labels": {},
        "columns": {"rss": {"array": "columns/rss"}},
        "times": {"array": "times"},
    }


def test_unknown_fields_are_skipped_and_missing_ones_take_their_default():
    """A newer writer's field does no harm, an older writer's lack of one neither."""
    value = decoded({"invented": [1, {"deep": None}]}, {"times": floats([1.0])})
    assert (value.name, value.inner) == ("a", Inner(1, 0.25))
    assert (value.verdict, value.many, value.maybe, len(value.times)) == (Verdict.LEAK, (), None, 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1.7e308, -0.0, 5e-324, 0.1])
def test_every_float_survives(value):
    """NaN and infinities have a form of their own, since JSON has none; the rest is exact."""
    text = json.dumps(codec.encode(Inner(1, value)).tree, allow_nan=False)
    back = codec.decode(Inner, codec.Encoded(json.loads(text), {})).share
    assert back == value or (math.isnan(back) and math.isnan(value))
    assert math.copysign(1, back) == math.copysign(1, value)


def test_scalars_of_numpy_are_plain():
    """A number taken from a column encodes as the plain one."""
    value = Outer("a", Inner(np.int64(7), np.float64(0.5)), flag=np.bool_(True))
    assert json.loads(json.dumps(codec.encode(value).tree))["inner"] == {"count": 7, "share": 0.5}
    assert codec.to_plain(value)["flag"] is True


def test_to_plain_writes_lists_and_no_nan():
    """Columns become lists, non-finite numbers None."""
    plain = codec.to_plain(Outer("a", Inner(1, math.inf), times=floats([0.5, math.nan])))
    assert (plain["times"], plain["inner"]["share"]) == ([0.5, None], None)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"name": 3}, "Outer.name"),
        ({"name": "x" * (codec.MAX_TEXT + 1)}, "Outer.name"),
        ({"name": "\ud800"}, "Outer.name"),
        ({"name": "odd"}, "outer: an odd name"),
        ({"name": None}, "Outer.name"),
        ({"inner": None}, "Outer.inner"),
        ({"inner": [1]}, "Outer.inner"),
        ({"inner": {}}, "Outer.inner"),
        ({"inner": {"count": True}}, "Outer.inner.count"),
        ({"inner": {"count": 1.0}}, "Outer.inner.count"),
        ({"inner": {"count": 2**63}}, "Outer.inner.count"),
        ({"inner": {"count": 1, "share": "1"}}, "Outer.inner.share"),
        ({"inner": {"count": 1, "share": True}}, "Outer.inner.share"),
        ({"inner": {"count": 1, "share": 10**400}}, "Outer.inner.share"),
        ({"inner": {"count": 1, "share": {"float": "1"}}}, "Outer.inner.share"),
        ({"inner": {"count": 1, "share": {"float": []}}}, "Outer.inner.share"),
        ({"inner": {"count": 1, "share": math.nan}}, "Outer.inner.share"),
        ({"verdict": "guilty"}, "Outer.verdict"),
        ({"verdict": ["leak"]}, "Outer.verdict"),
        ({"verdict": {}}, "Outer.verdict"),
        ({"many": {"0": {"count": 1}}}, "Outer.many"),
        ({"many": [{"count": 1}, 7]}, r"Outer.many\[1\]"),
        ({"many": [None] * (codec.MAX_ITEMS + 1)}, "Outer.many"),
        ({"flag": 1}, "Outer.flag"),
        ({"labels": []}, "Outer.labels"),
        ({"labels": {"a": 1}}, r"Outer.labels\[a\]"),
        ({"labels": {"\ud800": "x"}}, "Outer.labels"),
        ({"columns": {"rss": [1, 2]}}, r"Outer.columns\[rss\]"),
        ({"columns": {"rss": {"array": 3}}}, r"Outer.columns\[rss\]"),
        ({"columns": {"rss": {"array": "none"}}}, r"Outer.columns\[rss\]"),
        ({"columns": {"rss": {"array": "floats"}}}, r"Outer.columns\[rss\]"),
        ({"columns": {"rss": {"array": "square"}}}, r"Outer.columns\[rss\]"),
        ({"columns": {"rss": {"array": "short"}}}, r"Outer.columns\[rss\]"),
    ],
    ids=str,
)
def test_what_is_not_of_its_declared_type_is_refused(changes, where):
    """The message names the field; nothing is converted on a guess."""
    arrays = {
        "floats": floats([1.0]),
        "square": np.zeros((2, 2), np.int64),
        "short": np.zeros(2, np.int32),
    }
    with pytest.raises(CaptureError, match=where):
        decoded(changes, arrays)


def test_depth_is_bounded():
    """A recursive type cannot be used to exhaust the stack."""
    with pytest.raises(CaptureError, match="nested deeper than 24"):
        codec._decode(Inner, {"count": 1}, "x", {}, codec.MAX_DEPTH + 1)


def test_equal_tells_types_and_columns_apart():
    """An integer column is not a float column of the same numbers; NaN equals NaN."""
    one = codec.Encoded({}, {"x": floats([1.0, math.nan])})
    assert codec.equal(one, codec.Encoded({}, {"x": floats([1.0, math.nan])}))
    assert not codec.equal(one, codec.Encoded({}, {"x": ints([1, 2])}))
    assert not codec.equal(one, codec.Encoded({}, {"y": floats([1.0, math.nan])}))
    assert not codec.equal(one, codec.Encoded({"a": 1}, one.arrays))


@pytest.mark.parametrize("kind", KINDS)
def test_encode_and_decode_are_inverse(kind):
    """Every record made from its own type hints comes back equal, and its tree is strict JSON."""

    @settings(max_examples=40, deadline=None, database=None)
    @given(results(KINDS[kind]))
    def inverse(value):
        encoded = codec.encode(value)
        json.dumps(encoded.tree, allow_nan=False)
        assert codec.decode(KINDS[kind], encoded, KINDS) == value
        assert json.dumps(value.to_dict(), allow_nan=False)

    inverse()
