"""What a capture file looks like inside, version 1.

An SQLite database with memlab's application id, the schema version as ``user_version``, and two tables:

``meta``
    ``kind`` (which result), ``complete`` (``yes``, or ``no`` when it was cut short) and ``written_by``.
``blobs``
    One row for each piece of content, numbered from 1 without a gap. ``tree`` is the record as JSON;
    ``array/<path>`` is one of its columns. Content longer than ``PART_BYTES`` goes on in the next row under
    the same name with the next ``part``, so that no single value is large. A recording that grows can append
    rows under names of its own (``series/0001`` ...) without touching those that are there.

Columns are raw little-endian numbers (``<i8``, ``<f8``), not ``.npy``: the type stands in a column where any
SQL shell sees it, and there is no header left to parse, hence none to attack. Nothing is compressed: what a
file can make its reader allocate is bounded by the file's own size.

Each row carries a CRC-32 over its labels and its content, so every byte that reaches a result is covered: a
flipped bit is found or changes nothing. There is no index, so none that could disagree with its table.
"""

from __future__ import annotations

import zlib
from typing import Final

__all__ = [
    "APPLICATION_ID",
    "ARRAY_PREFIX",
    "DTYPES",
    "JSON",
    "META_KEYS",
    "PAGE_BYTES",
    "PART_BYTES",
    "TABLES",
    "TREE",
    "VERSION",
    "blob_crc",
    "meta_crc",
]

APPLICATION_ID: Final = int.from_bytes(b"MLAB", "big")
VERSION: Final = 1
PAGE_BYTES: Final = 4096
PART_BYTES: Final = 8 * 1024 * 1024

TREE: Final = "tree"
ARRAY_PREFIX: Final = "array/"
JSON: Final = "json"
DTYPES: Final = ("<i8", "<f8")
META_KEYS: Final = frozenset({"kind", "complete", "written_by"})

TABLES: Final = {
    "meta": "CREATE TABLE meta (id INTEGER PRIMARY KEY, key TEXT, value TEXT, crc32 INTEGER)",
    "blobs": (
        "CREATE TABLE blobs (id INTEGER PRIMARY KEY, name TEXT, part INTEGER, dtype TEXT, size INTEGER, "
        "crc32 INTEGER, data BLOB)"
    ),
}


def meta_crc(key: str, value: str) -> int:
    """Return the check of one row of ``meta``."""
    return zlib.crc32(f"{key}={value}".encode())


def blob_crc(name: str, part: int, dtype: str, data: bytes | memoryview) -> int:
    """Return the check of one row of ``blobs``: its labels, its size and its content."""
    return zlib.crc32(data, zlib.crc32(f"{name}|{part}|{dtype}|{len(data)}|".encode()))
