"""What a capture file looks like inside, version 2.

An SQLite database with memlab's application id, the schema version as ``user_version``, and two tables:

``meta``
    ``kind`` (which result), ``complete`` (``yes``, or ``no`` when it was cut short) and ``written_by``.
``blobs``
    One row for each piece of content, numbered from 1 without a gap. ``tree`` is the record as JSON, with
    its kind once more under ``record`` (older files lack that);
    ``array/<path>`` is one of its columns. Content longer than ``PART_BYTES`` goes on in the next row under
    the same name with the next ``part``, so that no single value is large. A recording that grows can append
    rows under names of its own (``series/0001`` ...) without touching those that are there.

Columns are raw little-endian numbers, not ``.npy``: the type stands in a column where any SQL shell sees it,
and there is no header left to parse, hence none to attack. A large part that shrinks is packed (``coding``,
see ``packing.py``): a heap graph is a hundred megabytes of numbers that are a few on disk. What a file can
make its reader allocate stays bounded before anything is: ``size`` declares what a part is unpacked,
``stored`` what lies in the file; the first are added up against the reader's limit, the second against the
file's own size, and no size is believed that deflate could not have made so small.

Each row carries a CRC-32 over its labels and its content, so every byte that reaches a result is covered: a
flipped bit is found or changes nothing. There is no index, so none that could disagree with its table.

Version 1 had no ``coding`` and no ``stored``, packed nothing, and is still read.
"""

from __future__ import annotations

import zlib
from typing import Final

__all__ = [
    "APPLICATION_ID",
    "ARRAY_PREFIX",
    "CODINGS",
    "COLUMNS",
    "DTYPES",
    "JSON",
    "META_KEYS",
    "OLDER_COLUMNS",
    "OLDER_TABLES",
    "PACKED",
    "PAGE_BYTES",
    "PART_BYTES",
    "PLAIN",
    "RECORD",
    "TABLES",
    "TREE",
    "VERSION",
    "blob_crc",
    "meta_crc",
    "older_blob_crc",
    "tables_of",
]

APPLICATION_ID: Final = int.from_bytes(b"MLAB", "big")
VERSION: Final = 2
PAGE_BYTES: Final = 4096
PART_BYTES: Final = 8 * 1024 * 1024

TREE: Final = "tree"
RECORD: Final = "record"
"""Key of the tree under which the kind stands again: whole tables of two files make no third one."""
ARRAY_PREFIX: Final = "array/"
JSON: Final = "json"
DTYPES: Final = ("<i8", "<f8", "<u8", "<u4", "|u1")
PLAIN: Final = "raw"
PACKED: Final = "shuffle+zlib"
CODINGS: Final = (PLAIN, PACKED)
META_KEYS: Final = frozenset({"kind", "complete", "written_by"})

_META: Final = "CREATE TABLE meta (id INTEGER PRIMARY KEY, key TEXT, value TEXT, crc32 INTEGER)"
COLUMNS: Final = "id, name, part, dtype, coding, size, stored, crc32"
TABLES: Final = {
    "meta": _META,
    "blobs": (
        "CREATE TABLE blobs (id INTEGER PRIMARY KEY, name TEXT, part INTEGER, dtype TEXT, coding TEXT, "
        "size INTEGER, stored INTEGER, crc32 INTEGER, data BLOB)"
    ),
}

OLDER_COLUMNS: Final = "id, name, part, dtype, size, crc32"
OLDER_TABLES: Final = {
    "meta": _META,
    "blobs": (
        "CREATE TABLE blobs (id INTEGER PRIMARY KEY, name TEXT, part INTEGER, dtype TEXT, size INTEGER, "
        "crc32 INTEGER, data BLOB)"
    ),
}


def tables_of(version: int) -> dict[str, str] | None:
    """Return the definitions of the tables of a version, by name; None for one that never was."""
    return {1: OLDER_TABLES, VERSION: TABLES}.get(version)


def meta_crc(key: str, value: str) -> int:
    """Return the check of one row of ``meta``."""
    return zlib.crc32(f"{key}={value}".encode())


def blob_crc(name: str, part: int, dtype: str, data: bytes | memoryview, *, coding: str, size: int) -> int:
    """Return the check of one row of ``blobs``: its labels, its sizes and its content as it is stored."""
    labels = f"{name}|{part}|{dtype}|{coding}|{size}|{len(data)}|"
    return zlib.crc32(data, zlib.crc32(labels.encode()))


def older_blob_crc(name: str, part: int, dtype: str, data: bytes | memoryview) -> int:
    """Return the check of one row of ``blobs`` in version 1."""
    return zlib.crc32(data, zlib.crc32(f"{name}|{part}|{dtype}|{len(data)}|".encode()))
