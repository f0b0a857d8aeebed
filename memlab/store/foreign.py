"""Open an SQLite file that may be hostile, so that it can do no more than be read or be refused.

In this order: it must be a regular file within the size limit; its first 108 bytes must be those of a
capture (magic, application id, version, a schema of just our tables); only then is it opened, read-only and
immutable, so that no journal beside it is looked at and none is made. SQLite is then bound hand and foot:
schemas are not trusted, cells are checked, no memory mapping (a file that shrinks would kill the process),
low limits, an authorizer that lets nothing but our columns be read, and a deadline. Last, the text of the
table definitions must be ours to the letter: no view, trigger, virtual table or generated column is left.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
import urllib.parse
from typing import TYPE_CHECKING, Final

from memlab._base.safety import clean
from memlab._base.units import format_bytes
from memlab.collectors.sampler_script import MAGIC
from memlab.errors import CaptureError
from memlab.store import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memlab._base.limits import Limits

__all__ = ["RefusedError", "naming", "opened", "stream_content"]

_MEMRAY: Final = b"memray"
_LZ4: Final = b"\x04\x22\x4d\x18"
_MEMRAYS: Final = "is a capture of memray's: memlab.import_memray() and memlab import take it in"
_SQLITE: Final = b"SQLite format 3\0"
_HEAD_BYTES: Final = 108  # the database header and the start of its first page's b-tree header
_TABLE_LEAF: Final = 0x0D
_UTF8: Final = 1
_NO_CAPTURE: Final = "is no memlab capture: name a file that a result's save() has written"
_DAMAGED: Final = "record again, or take a fresh copy"
_PRAGMAS: Final = ("PRAGMA mmap_size=0", "PRAGMA trusted_schema=OFF", "PRAGMA cell_size_check=ON")
_STEPS_BETWEEN_CHECKS: Final = 1000
_BOUNDS: Final = {
    sqlite3.SQLITE_LIMIT_LENGTH: schema.PART_BYTES + 1024,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_COLUMN: 16,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 10,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 1,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 5000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 2,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 2,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_READABLE: Final = frozenset({"sqlite_master", *schema.TABLES})


class RefusedError(CaptureError):
    """Carries the rest of a sentence that begins with the file's name, remedy included."""


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Turn whatever goes wrong in the block into one ``CaptureError`` that begins with the file's name."""
    name = clean(os.path.basename(os.path.normpath(path))) or "the path"  # noqa: PTH119 - any text, even ""
    try:
        yield
    except RefusedError as error:
        sentence = str(error)
    except FileNotFoundError:
        sentence = "is not there: check the path"
    except OSError as error:
        sentence = f"cannot be read ({error.strerror or 'I/O error'}): check the path and its permissions"
    except MemoryError:
        sentence = "does not fit in memory: read it where there is more, or pass lower limits"
    except (CaptureError, sqlite3.Error, ValueError, OverflowError, RecursionError) as error:
        # The text may quote the file: it is escaped and cut before it reaches a terminal.
        sentence = f"is damaged ({clean(str(error)) or type(error).__name__}): {_DAMAGED}"
    else:
        return
    raise CaptureError(f"{name} {sentence}")


@contextlib.contextmanager
def opened(path: str, limits: Limits) -> Iterator[tuple[sqlite3.Connection, int]]:
    """Give a connection from which only the columns of our tables can be read, and the file's version.

    Raises:
        CaptureError, sqlite3.Error, OSError, ValueError: for ``naming`` to turn into a sentence.
    """
    version, definitions = _check_head(path, limits)
    place = os.path.abspath(path).replace(os.sep, "/")  # noqa: PTH100 - resolves no links, takes any bytes
    uri = f"file://{'' if place.startswith('/') else '/'}{urllib.parse.quote(os.fsencode(place))}"
    with contextlib.closing(sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, timeout=0)) as connection:
        for pragma in _PRAGMAS:
            connection.execute(pragma).close()
        for category, bound in _BOUNDS.items():
            connection.setlimit(category, bound)
        connection.set_authorizer(_permit)
        connection.set_progress_handler(_past(limits.seconds), _STEPS_BETWEEN_CHECKS)
        tables = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        if set(tables) != {("table", name, name, sql) for name, sql in definitions.items()}:
            raise RefusedError(_NO_CAPTURE)
        yield connection, version


def stream_content(path: str, limits: Limits) -> bytes | None:
    """Return the content of a file that is a recording's stream; None for any other file.

    Raises:
        RefusedError: when it is over the reader's limit.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or os.read(descriptor, len(MAGIC)) != MAGIC:
            return None
        _refuse_large(status.st_size, limits)
        # It may grow while it is read: no more is taken than was asked about.
        os.lseek(descriptor, 0, os.SEEK_SET)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(descriptor)


def _refuse_large(size: int, limits: Limits) -> None:
    if size > limits.file_bytes:
        raise RefusedError(
            f"holds {format_bytes(size)}, the reader's limit is {format_bytes(limits.file_bytes)}: "
            "if you trust it, pass limits=Limits(file_bytes=...)"
        )


def _check_head(path: str, limits: Limits) -> tuple[int, dict[str, str]]:
    # A pipe would block in open() and a device has no end: neither is waited for.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError("is no regular file: name a file that a result's save() has written")
        head = os.read(descriptor, _HEAD_BYTES)
    finally:
        os.close(descriptor)
    _refuse_large(status.st_size, limits)
    if head.startswith(_MEMRAY) or (head.startswith(_LZ4) and _MEMRAY in head):
        raise RefusedError(_MEMRAYS)
    if len(head) < len(_SQLITE) or not head.startswith(_SQLITE):
        raise RefusedError(_NO_CAPTURE)
    if len(head) < _HEAD_BYTES:
        raise RefusedError(f"is cut short: {_DAMAGED}")
    if _number(head, 68, 4) != schema.APPLICATION_ID:
        raise RefusedError(_NO_CAPTURE)
    return _check_layout(head, status.st_size)


def _check_layout(head: bytes, size: int) -> tuple[int, dict[str, str]]:
    version = _number(head, 60, 4)
    if version > schema.VERSION:
        raise RefusedError(
            f"was written by a newer memlab (format {version}, this one reads up to {schema.VERSION}): "
            "update memlab"
        )
    page, pages, encoding = _number(head, 16, 2), _number(head, 28, 4), _number(head, 56, 4)
    kind, rows = _number(head, 100, 1), _number(head, 103, 2)
    # The first page is the list of tables. That it is one leaf with one row for each of ours is seen here,
    # before SQLite parses any definition in it.
    definitions = schema.tables_of(version)
    wanted = (schema.PAGE_BYTES, _UTF8, _TABLE_LEAF, len(schema.TABLES))
    if definitions is None or (page, encoding, kind, rows) != wanted:
        raise RefusedError(f"is damaged (its header is not that of a capture): {_DAMAGED}")
    if size < pages * page:
        raise RefusedError(f"is cut short ({size:,} of {pages * page:,} bytes): {_DAMAGED}")
    return version, definitions


def _number(head: bytes, offset: int, length: int) -> int:
    return int.from_bytes(head[offset : offset + length], "big")


def _permit(
    action: int, table: str | None, _column: str | None, database: str | None, inner: str | None
) -> int:
    """Allow the reading of our tables by a plain SELECT of ours; ``inner`` names a view or trigger."""
    plain = action == sqlite3.SQLITE_SELECT or (
        action == sqlite3.SQLITE_READ and table in _READABLE and database == "main"
    )
    return sqlite3.SQLITE_OK if plain and inner is None else sqlite3.SQLITE_DENY


def _past(seconds: float) -> Callable[[], bool]:
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() > deadline
