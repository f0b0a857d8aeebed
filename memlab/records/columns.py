"""The column types of records, and the checks that they share."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = [
    "Bytes",
    "Floats",
    "Ints",
    "Nodes",
    "Words",
    "check_lengths",
    "floats",
    "frozen",
    "ints",
    "no_ints",
    "no_nodes",
]

# Spelled out: from numpy 2.5 on, ``NDArray`` is an alias that the codec could not look into at run time.
Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
# The mass of a heap graph, where every byte counts some million times.
Nodes = np.ndarray[Any, np.dtype[np.uint32]]
Words = np.ndarray[Any, np.dtype[np.uint64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

Column = TypeVar("Column", Ints, Floats, Nodes, Words, Bytes)


def ints(values: npt.ArrayLike) -> Ints:
    """Return a read-only int64 column."""
    return frozen(np.array(values, dtype=np.int64))


def floats(values: npt.ArrayLike) -> Floats:
    """Return a read-only float64 column."""
    return frozen(np.array(values, dtype=np.float64))


def check_lengths(what: str, /, **columns: npt.NDArray[np.generic]) -> int:
    """Return the common length of columns, or raise ValueError naming the odd one."""
    length = -1
    for name, column in columns.items():
        if length >= 0 and len(column) != length:
            raise ValueError(f"{what}: column {name} has {len(column)} rows, the others {length}")
        length = len(column)
    return max(length, 0)


def frozen(array: Column) -> Column:
    """Return the column itself, from now on read-only."""
    array.flags.writeable = False
    return array


def no_nodes() -> Nodes:
    """Return an empty column of nodes."""
    return frozen(np.zeros(0, np.uint32))


def no_ints() -> Ints:
    """Return an empty int64 column."""
    return frozen(np.zeros(0, np.int64))
