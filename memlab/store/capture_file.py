"""Save a result to one file and load it back as an equal value.

A record is taken apart by ``records/codec.py`` into a JSON tree and named columns; both become rows of an
SQLite file (``schema.py``), which is written under a temporary name and moved into place; large columns are
packed on the way (``packing.py``). Reading trusts nothing: ``foreign.py`` opens the file, the sizes it
declares are added up before anything is allocated, each piece is checked and unpacked to its declared size
and no further, and the codec checks every value against its field's type. Whatever the bytes, the outcome is
a result or one ``CaptureError``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.atomic import replacing
from memlab._base.limits import Limits
from memlab._base.safety import clean, instance_type_name
from memlab._base.units import format_bytes
from memlab._base.version import VERSION
from memlab.errors import CaptureError, UsageError
from memlab.records import codec
from memlab.store import schema
from memlab.store.foreign import RefusedError, naming, opened, stream_content
from memlab.store.kinds import KINDS, kind_of
from memlab.store.packing import GREATEST_RATIO, pack, unpack
from memlab.store.stream import read_stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from memlab.records._result import Result

__all__ = ["Header", "load", "read_header", "save"]

_MAX_NAME = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """What a capture file says of itself: cheap to read, however large the file.

    Attributes:
        kind: the result's kind, e.g. ``leak report``.
        version: the file's schema version.
        complete: False when the recording or hunt was cut short.
        written_by: name and version of the writer.
    """

    kind: str
    version: int
    complete: bool
    written_by: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Piece:
    """One row of ``blobs`` without its content."""

    row: int
    name: str
    part: int
    dtype: str
    coding: str
    size: int
    stored: int
    crc32: int


# -- writing


def save(result: Result, path: str | os.PathLike[str]) -> None:
    """Write a result to a capture file, whole or not at all.

    What the file cannot give back is refused before a byte is written.

    Args:
        result: any result of memlab.
        path: where; a file that is there is replaced in one step.

    Raises:
        UsageError: when ``result`` is no result, holds what a capture cannot, or the file cannot be written.

    >>> import tempfile, pathlib
    >>> from memlab.records.memit import MemitResult
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "peak.memlab")
    ...     save(MemitResult(peaks_bytes=(4096,), baseline_bytes=1024), file)
    ...     load(file).increment_bytes
    3072
    """
    kind = kind_of(result)
    if kind is None:
        raise UsageError(f"save: needs a result of memlab, not {instance_type_name(result)}")
    encoded = codec.encode(result)
    try:
        codec.decode(type(result), encoded, KINDS)
        named = {schema.RECORD: kind, **encoded.tree}
        tree = json.dumps(named, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (CaptureError, TypeError, ValueError) as error:
        raise UsageError(f"save: this {kind} cannot be written as it is: {error}") from None
    complete = "yes" if getattr(result, "complete", True) else "no"
    meta = {"kind": kind, "complete": complete, "written_by": _writer()}
    with replacing(path) as temporary:
        try:
            _write(temporary, meta, tree, encoded.arrays)
        except sqlite3.Error as error:
            raise UsageError(f"cannot write {os.fspath(path)}: {error}") from None


def _write(path: Path, meta: Mapping[str, str], tree: bytes, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # No journal and no syncing: the file has another name until it is whole, and is synced once then.
        for pragma in (
            f"page_size={schema.PAGE_BYTES}",
            "encoding='UTF-8'",
            "journal_mode=OFF",
            "synchronous=OFF",
            f"application_id={schema.APPLICATION_ID}",
            f"user_version={schema.VERSION}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.execute("BEGIN")
        for definition in schema.TABLES.values():
            connection.execute(definition)
        connection.executemany(
            "INSERT INTO meta VALUES (NULL, ?, ?, ?)",
            [(key, value, schema.meta_crc(key, value)) for key, value in meta.items()],
        )
        rows = itertools.chain(
            _rows(schema.TREE, schema.JSON, memoryview(tree)),
            *(_rows(f"{schema.ARRAY_PREFIX}{name}", *_raw(a)) for name, a in arrays.items()),
        )
        connection.executemany("INSERT INTO blobs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")


def _rows(name: str, dtype: str, content: memoryview) -> Iterator[tuple[Any, ...]]:
    for part, start in enumerate(range(0, max(len(content), 1), schema.PART_BYTES)):
        plain = content[start : start + schema.PART_BYTES]
        packed = None if dtype == schema.JSON else pack(plain, np.dtype(dtype).itemsize)
        coding, data = (schema.PLAIN, plain) if packed is None else (schema.PACKED, packed)
        check = schema.blob_crc(name, part, dtype, data, coding=coding, size=len(plain))
        yield name, part, dtype, coding, len(plain), len(data), check, data


def _raw(array: npt.NDArray[Any]) -> tuple[str, memoryview]:
    little = array.dtype.newbyteorder("<")
    data = np.ascontiguousarray(array, dtype=little)
    return little.str, data.view(np.uint8).data


def _writer() -> str:
    return f"memlab {VERSION}"


# -- reading


def load(path: str | os.PathLike[str], limits: Limits | None = None) -> Result:
    """Read a capture file back as the result that was saved.

    It runs nothing that stands in the file, leaves nothing beside it, and takes no more memory for columns
    than ``limits.memory_bytes`` (which is checked before any is taken).

    Args:
        path: the file.
        limits: bounds for reading; default ``Limits()``.

    Raises:
        CaptureError: when the file is missing, no capture, damaged, of a newer memlab, or over a limit; the
            message begins with the file's name and ends with the remedy.
    """
    place, limits = _place(path), limits or Limits()
    with naming(place):
        grown = stream_content(place, limits)
        if grown is not None:
            return read_stream(grown, limits)
        with opened(place, limits) as (connection, version):
            header = _header(connection, version)
            size = os.stat(place).st_size  # noqa: PTH116 - the path is plain text here
            pieces = _pieces(connection, version, size, limits)
            contents = {name: _content(connection, version, parts) for name, parts in pieces.items()}
        if header.kind not in KINDS:
            raise RefusedError(
                f"holds a {clean(header.kind)}, which this memlab does not know: update memlab"
            )
        if pieces.get(schema.TREE, [_NOTHING])[0].dtype != schema.JSON:
            raise CaptureError("it has no tree")
        tree = _tree(contents.pop(schema.TREE), limits)
        if tree.pop(schema.RECORD, header.kind) != header.kind:
            raise CaptureError("its tree is of another kind than the file")
        arrays = {
            name.removeprefix(schema.ARRAY_PREFIX): _array(pieces[name][0].dtype, content)
            for name, content in contents.items()
            if name.startswith(schema.ARRAY_PREFIX)
        }
        return codec.decode(KINDS[header.kind], codec.Encoded(tree, arrays), KINDS)


def read_header(path: str | os.PathLike[str], limits: Limits | None = None) -> Header:
    """Return what a capture says of itself, without reading its content.

    Raises:
        CaptureError: as ``load`` does; damage in the content is not seen.
    """
    place, limits = _place(path), limits or Limits()
    with naming(place):
        grown = stream_content(place, limits)
        if grown is not None:
            capture = read_stream(grown, limits)
            writer = f"memlab {capture.environment.get('memlab', '')}".strip()
            return Header(capture.kind, schema.VERSION, capture.complete, writer)
        with opened(place, limits) as (connection, version):
            return _header(connection, version)


_NOTHING = _Piece(0, "", 0, "", "", 0, 0, 0)


def _place(path: str | os.PathLike[str]) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise UsageError(f"load: needs the path of a file, not {instance_type_name(path)}") from None


def _select(connection: sqlite3.Connection, what: str) -> sqlite3.Cursor:
    try:
        return connection.execute(f"SELECT {what}")  # our own text
    except MemoryError:  # what SQLite says of some damaged schemas, whatever memory there is
        raise CaptureError("SQLite cannot make out its tables") from None


def _header(connection: sqlite3.Connection, version: int) -> Header:
    found: dict[str, str] = {}
    with contextlib.closing(_select(connection, "key, value, crc32 FROM meta")) as rows:
        for key, value, crc32 in itertools.islice(rows, len(schema.META_KEYS) + 1):
            if type(key) is not str or type(value) is not str or crc32 != schema.meta_crc(key, value):
                raise CaptureError("a check in table meta differs")
            found[key] = value
    if found.keys() != schema.META_KEYS or found["complete"] not in ("yes", "no"):
        raise CaptureError("table meta is not whole")
    return Header(found["kind"], version, found["complete"] == "yes", found["written_by"])


def _pieces(
    connection: sqlite3.Connection, version: int, file_size: int, limits: Limits
) -> dict[str, list[_Piece]]:
    """Read what the rows declare, content left aside, and bound it."""
    found: dict[str, list[_Piece]] = {}
    memory = stored = 0
    for number, piece in enumerate(_declared(connection, version), 1):
        memory += piece.size
        stored += piece.stored
        if number > limits.blobs:
            raise RefusedError(f"holds more than {limits.blobs:,} pieces: pass limits=Limits(blobs=...)")
        if piece.row != number:
            raise CaptureError(f"row {number} of table blobs is not of its form")
        if max(len(piece.name), len(piece.dtype)) > _MAX_NAME:
            raise CaptureError(f"row {number} of table blobs has a name that is too long")
        if not _can_be(piece) or stored > file_size:
            raise CaptureError(f"row {number} declares {piece.size:,} bytes, which cannot be")
        if memory > limits.memory_bytes:
            raise RefusedError(
                f"unpacks to more than the reader's limit of {format_bytes(limits.memory_bytes)}: "
                "if you trust it, pass limits=Limits(memory_bytes=...)"
            )
        parts = found.setdefault(piece.name, [])
        if piece.part != len(parts) or (parts and parts[0].dtype != piece.dtype):
            raise CaptureError(f"row {number} does not continue {piece.name}")
        parts.append(piece)
    return found


def _declared(connection: sqlite3.Connection, version: int) -> Iterator[_Piece]:
    older = version < schema.VERSION
    columns = schema.OLDER_COLUMNS if older else schema.COLUMNS
    types = (int, str, int, str, int, int) if older else (int, str, int, str, str, int, int, int)
    with contextlib.closing(_select(connection, f"{columns} FROM blobs")) as rows:
        for number, row in enumerate(rows, 1):
            if tuple(map(type, row)) != types:
                raise CaptureError(f"row {number} of table blobs is not of its form")
            if older:
                row = (*row[:4], schema.PLAIN, row[4], *row[4:])  # noqa: PLW2901 - as the newer version has it
            yield _Piece(*row)


def _can_be(piece: _Piece) -> bool:
    """Tell whether a row's sizes fit each other."""
    if piece.coding == schema.PLAIN:
        return 0 <= piece.size == piece.stored <= schema.PART_BYTES
    return (
        piece.coding == schema.PACKED
        and piece.dtype in schema.DTYPES
        and 0 < piece.stored < piece.size <= min(schema.PART_BYTES, GREATEST_RATIO * piece.stored)
        and piece.size % np.dtype(piece.dtype).itemsize == 0
    )


def _content(connection: sqlite3.Connection, version: int, parts: list[_Piece]) -> bytearray:
    content = bytearray(sum(part.size for part in parts))
    target = np.frombuffer(content, np.uint8)
    at = 0
    for part in parts:
        row = connection.execute("SELECT data FROM blobs WHERE id = ?", (part.row,)).fetchone()
        if row is None or type(row[0]) is not bytes or len(row[0]) != part.stored:
            raise CaptureError(f"{part.name} has not the size that it declares")
        if _check_of(version, part, row[0]) != part.crc32:
            raise CaptureError(f"the check of {part.name} differs")
        into = target[at : at + part.size]
        if part.coding == schema.PACKED:
            unpack(row[0], np.dtype(part.dtype).itemsize, into)
        else:
            into[...] = np.frombuffer(row[0], np.uint8)
        at += part.size
    return content


def _check_of(version: int, part: _Piece, data: bytes) -> int:
    if version < schema.VERSION:
        return schema.older_blob_crc(part.name, part.part, part.dtype, data)
    return schema.blob_crc(part.name, part.part, part.dtype, data, coding=part.coding, size=part.size)


def _array(dtype: str, content: bytearray) -> npt.NDArray[Any]:
    if dtype not in schema.DTYPES or len(content) % np.dtype(dtype).itemsize:
        raise CaptureError("a column has no type that a capture may hold, or a broken length")
    stored = np.frombuffer(content, dtype=dtype)
    array = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    array.flags.writeable = False
    return array


def _tree(content: bytearray, limits: Limits) -> dict[str, Any]:
    if len(content) > limits.tree_bytes:
        raise RefusedError(f"holds {len(content):,} bytes of JSON: pass limits=Limits(tree_bytes=...)")
    # Each value but the first follows one of these: an upper bound before anything is built.
    values = 1 + sum(content.count(mark) for mark in (b",", b"[", b"{"))
    if values > limits.tree_values:
        raise RefusedError(f"holds up to {values:,} values: pass limits=Limits(tree_values=...)")
    if _nesting(bytes(content)) > limits.depth:
        raise CaptureError(f"nested deeper than {limits.depth}")
    tree = json.loads(content.decode())
    if type(tree) is not dict:
        raise CaptureError("the tree is no mapping")
    return tree


_ALL_BUT_STRUCTURE = bytes(set(range(256)) - set(b'"[]{}'))


def _nesting(text: bytes) -> int:
    """Return how deep JSON is nested, without recursion: the parser's own depends on the caller's stack."""
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(unescaped.translate(None, _ALL_BUT_STRUCTURE).split(b'"')[::2])
    marks = np.frombuffer(outside, dtype=np.uint8)
    opens = (marks == ord("[")) | (marks == ord("{"))
    return int(np.cumsum(np.where(opens, 1, -1)).max(initial=0))
