"""Attributes that lie outside their instance are counted, and nothing else is taken for one."""

from __future__ import annotations

import sys

import memlab

KEPT = []


class Plain:
    def __init__(self, *values):
        self.a, self.b, self.c, self.d = values


class Slotted:
    __slots__ = ("a", "b", "c", "d")

    def __init__(self, *values):
        self.a, self.b, self.c, self.d = values


class Listed(list):
    pass


def sizes(*objects):
    graph = memlab.heap()
    return [int(graph.sizes_of([graph.node(obj)])[0]) for obj in objects]


def test_attributes_count_eight_bytes_each():
    """Four values outside a plain instance; none of a slotted one, and no item of a list's subclass."""
    values = (b"one" * 9, b"two" * 9, b"three" * 9, b"four" * 9)
    plain, slotted, listed = Plain(*values), Slotted(*values), Listed(values)
    KEPT[:] = plain, slotted, listed
    found = sizes(plain, slotted, listed)
    KEPT.clear()
    extra = [size - sys.getsizeof(obj) for size, obj in zip(found, (plain, slotted, listed), strict=True)]
    # Before Python 3.12 a plain instance has a slot for weak references, which is no attribute.
    assert extra == [8 * (4 if sys.version_info >= (3, 12) else 3), 0, 0]


def test_an_instance_whose_dictionary_was_asked_for_counts_none():
    """Its attributes lie in the dictionary, an object of its own."""
    plain = Plain(b"one" * 9, b"two" * 9, b"three" * 9, b"four" * 9)
    space = plain.__dict__
    KEPT[:] = plain, space
    (found,) = sizes(plain)
    KEPT.clear()
    most = 0 if sys.version_info < (3, 13) else 8 * 4  # later its values stay inside, and both refer to them
    assert 0 <= found - sys.getsizeof(plain) <= most
