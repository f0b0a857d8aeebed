"""Turn records into a JSON tree plus named arrays, and back, checked against their type hints.

``encode`` walks a frozen dataclass: scalars, tuples, mappings and nested records go into the tree, numpy
arrays are set aside under their path. ``decode`` rebuilds from hostile input: every value is checked against
the field's declared type before anything is made, unknown fields are skipped (a newer writer), a missing one
takes its default, and a record's own ``__post_init__`` checks what types cannot say. Nothing is imported or
called by a name found in the data.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from memlab.errors import CaptureError

__all__ = ["Encoded", "decode", "encode", "equal", "to_plain"]

T = TypeVar("T")
MAX_DEPTH = 24
MAX_TEXT = 64 * 1024
MAX_ITEMS = 200_000


@dataclasses.dataclass(frozen=True, slots=True)
class _Held:
    """What decoding draws on: the arrays by path, and the classes that may be held by kind."""

    arrays: Mapping[str, npt.NDArray[Any]]
    kinds: Mapping[str, type[Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Encoded:
    """A record taken apart: JSON-able ``tree`` and its ``arrays`` by path."""

    tree: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]


def encode(record: Any) -> Encoded:
    """Take a record apart into plain data and named arrays."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    return Encoded(_encode(record, "", arrays), arrays)


def to_plain(record: Any) -> dict[str, Any]:
    """Return a record as builtins only, arrays as lists, non-finite floats as None."""
    plain: dict[str, Any] = _plain(record)
    return plain


def equal(left: Encoded, right: Encoded) -> bool:
    """Tell whether two encoded records hold the same values (NaN equals NaN)."""
    return (
        left.tree == right.tree
        and left.arrays.keys() == right.arrays.keys()
        and all(
            a.dtype == right.arrays[name].dtype
            and np.array_equal(a, right.arrays[name], equal_nan=a.dtype.kind == "f")
            for name, a in left.arrays.items()
        )
    )


def decode(cls: type[T], encoded: Encoded, kinds: Mapping[str, type[Any]] | None = None) -> T:
    """Rebuild a record of class ``cls``.

    Args:
        cls: the record's class.
        encoded: what ``encode`` made, or a file.
        kinds: the classes that a record may hold by kind; a record that does so names the field in
            ``holds_kind``. None allows none.

    Raises:
        CaptureError: when any part is not of its declared type or breaks the record's own rules.
    """
    value: T = _decode(cls, encoded.tree, cls.__name__, _Held(encoded.arrays, kinds or {}), 0)
    return value


# -- taking apart


def _encode(value: Any, path: str, arrays: dict[str, npt.NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if dataclasses.is_dataclass(value):
        return {
            f.name: _encode(getattr(value, f.name), f"{path}/{f.name}" if path else f.name, arrays)
            for f in dataclasses.fields(value)
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [_encode(item, f"{path}/{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {key: _encode(item, f"{path}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()  # a scalar taken from a column is as good as a plain one
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(tuple(value.tolist()))
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# -- putting together


def _decode(hint: Any, value: Any, where: str, held: _Held, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise CaptureError(f"reading {where}: nested deeper than {MAX_DEPTH}")
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(hint, value, where, held, depth)
    if origin is np.ndarray:
        return _decode_array(hint, value, where, held)
    if origin is tuple:
        return _decode_tuple(hint, value, where, held, depth)
    if origin is not None and issubclass(origin, Mapping):
        return _decode_mapping(hint, value, where, held, depth)
    if dataclasses.is_dataclass(hint):
        return _decode_record(hint, value, where, held, depth)
    return _decode_scalar(hint, value, where)


def _decode_scalar(hint: Any, value: Any, where: str) -> Any:  # noqa: C901 - one branch a type
    if hint is float:
        if isinstance(value, dict) and set(value) == {"float"} and value["float"] in ("nan", "inf", "-inf"):
            return float(value["float"])
        if (type(value) is float and math.isfinite(value)) or (type(value) is int and abs(value) < 2**1000):
            return float(value)
    elif hint is int:
        if type(value) is int and -(2**63) <= value < 2**63:
            return value
    elif hint is str:
        return _decode_text(value, where)
    elif hint is bool:
        if type(value) is bool:
            return value
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError:
            pass
    raise CaptureError(f"reading {where}: expected {getattr(hint, '__name__', hint)}")


def _decode_text(value: Any, where: str) -> str:
    try:
        if type(value) is str and len(value) <= MAX_TEXT:
            value.encode()  # a lone surrogate could be neither printed nor written
            return value
    except UnicodeEncodeError:
        pass
    raise CaptureError(f"reading {where}: expected Unicode text of at most {MAX_TEXT:,} characters")


def _are_texts(values: list[Any]) -> bool:
    """Tell whether all are texts that a record may hold; where one is not, it is found one by one."""
    try:
        whole = "".join(values)
        whole.encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return len(whole) <= MAX_TEXT or max(map(len, values)) <= MAX_TEXT


def _decode_union(hint: Any, value: Any, where: str, held: _Held, depth: int) -> Any:
    members = typing.get_args(hint)
    if value is None and type(None) in members:
        return None
    (inner,) = (m for m in members if m is not type(None))  # only X | None is used in records
    return _decode(inner, value, where, held, depth)


def _decode_array(hint: Any, value: Any, where: str, held: _Held) -> npt.NDArray[Any]:
    wanted = np.dtype(typing.get_args(typing.get_args(hint)[1])[0])
    if not (isinstance(value, dict) and set(value) == {"array"} and type(value["array"]) is str):
        raise CaptureError(f"reading {where}: expected an array")
    array = held.arrays.get(value["array"])
    if array is None or array.dtype != wanted or array.ndim != 1:
        raise CaptureError(f"reading {where}: no one-dimensional {wanted} array of that name")
    return array


def _decode_tuple(hint: Any, value: Any, where: str, held: _Held, depth: int) -> tuple[Any, ...]:
    if type(value) is not list or len(value) > MAX_ITEMS:
        raise CaptureError(f"reading {where}: expected a list of at most {MAX_ITEMS}")
    item, *_ = typing.get_args(hint)  # only tuple[X, ...] is used in records
    if item is str and _are_texts(value):  # names by the hundred: looked at together
        return tuple(value)
    return tuple(_decode(item, v, f"{where}[{i}]", held, depth + 1) for i, v in enumerate(value))


def _decode_mapping(hint: Any, value: Any, where: str, held: _Held, depth: int) -> dict[str, Any]:
    if type(value) is not dict or len(value) > MAX_ITEMS:
        raise CaptureError(f"reading {where}: expected a mapping")
    _, item = typing.get_args(hint)
    return {
        _decode_scalar(str, k, where): _decode(item, v, f"{where}[{k[:40]}]", held, depth + 1)
        for k, v in value.items()
    }


def _decode_record(cls: Any, value: Any, where: str, held: _Held, depth: int) -> Any:
    if type(value) is not dict:
        raise CaptureError(f"reading {where}: expected a record")
    hints = _hints_for(cls, value, where, held)
    found = {
        name: _decode(hints[name], value[name], f"{where}.{name}", held, depth + 1)
        for name in hints
        if name in value
    }
    try:
        return cls(**found)
    except CaptureError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise CaptureError(f"reading {where}: {error}") from None


def _hints_for(cls: Any, value: dict[str, Any], where: str, held: _Held) -> dict[str, Any]:
    """Return a record's type hints, with the class of a field that holds any kind told by ``kind``."""
    hints: dict[str, Any] = _hints(cls)
    field = getattr(cls, "holds_kind", None)
    if field is None:
        return hints
    if value.get(field) is None:
        return {name: hint for name, hint in hints.items() if name != field}
    kind = value.get("kind")
    if type(kind) is not str or kind not in held.kinds:
        raise CaptureError(f"reading {where}: holds a result of a kind that this version does not know")
    return {**hints, field: held.kinds[kind]}


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}
