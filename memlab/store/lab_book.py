"""The lab book: every run's figures, over months, in one bounded SQLite file.

Three tables: ``runs`` (a row each), ``metrics`` (a name and what it means, once), and ``figures`` (one row
for each metric of a run: median, quartiles, and the median in units of the reference loop). Any SQL shell,
pandas or DuckDB reads it. It has an application id and a version of its own.

Writers take turns by the folder's lock, and each append is one transaction, so that a kill at any moment
leaves the book as it was before or as it is after. It is bounded: when the next run would pass the limit,
oldest runs go first, some more than needed, so that this is seldom; their pages are used again and the file
does not grow. The newest run always stays.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from memlab._base.locks import only_writer
from memlab._base.safety import clean
from memlab.errors import CaptureError, UsageError
from memlab.records.benchmark import HistoryRun, MetricHistory, RunHistory
from memlab.records.columns import floats, ints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from memlab.records.benchmark import BenchmarkResult, BenchmarkTable

__all__ = ["APPLICATION_ID", "LabBook"]

APPLICATION_ID: Final = int.from_bytes(b"MLBK", "big")
VERSION: Final = 1
_PAGE: Final = 4096
_LEAST_BYTES: Final = 32 * _PAGE
_TABLES: Final = {
    "runs": (
        "CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, timestamp REAL NOT NULL, "
        "label TEXT NOT NULL, source TEXT NOT NULL, machine TEXT NOT NULL, memlab TEXT NOT NULL)"
    ),
    "metrics": (
        "CREATE TABLE metrics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, unit TEXT NOT NULL, "
        "better TEXT NOT NULL, exact INTEGER NOT NULL)"
    ),
    "figures": (
        "CREATE TABLE figures (run INTEGER NOT NULL, metric INTEGER NOT NULL, value REAL NOT NULL, "
        "low REAL, high REAL, relative REAL, PRIMARY KEY (run, metric)) WITHOUT ROWID"
    ),
}
_SPARE = 8
_MOST_SLICE = 2_000
_ROOM_PAGES = 8
_STEPS_BETWEEN_CHECKS = 10_000
_SECONDS = 60.0
_REMEDY = "name another file, or remove it to begin a new book"


class LabBook:
    """A lab book. The file need not be there yet.

    Args:
        path: the file.
        max_bytes: the file never grows beyond, but for one run. At least 128 KiB.
        max_runs: runs that are kept.
        clock: seconds since 1970.

    Raises:
        UsageError: for a limit that is none.

    Example:
        >>> import tempfile, pathlib
        >>> from memlab.records.benchmark import BenchmarkResult, BenchmarkTable
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     book = LabBook(pathlib.Path(folder, "book.db"))
        ...     for peak in (1000, 2000):
        ...         table = BenchmarkTable((BenchmarkResult("load:peak_bytes", peak, "bytes", exact=True),))
        ...         number = book.append(table)
        ...     book.history().metric("load:peak_bytes").value.tolist()
        [1000.0, 2000.0]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        max_bytes: int = 16 * 1024 * 1024,
        max_runs: int = 100_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_bytes < _LEAST_BYTES:
            raise UsageError(f"lab book: max_bytes must be at least {_LEAST_BYTES:,}, not {max_bytes!r}")
        if max_runs < 1:
            raise UsageError(f"lab book: max_runs must be at least 1, not {max_runs!r}")
        self.path = Path(path)
        self.max_bytes = max_bytes
        self.max_runs = max_runs
        self.clock = clock

    def append(self, table: BenchmarkTable, *, label: str = "", source: str = "") -> int:
        """Write a run and return its number.

        Args:
            table: its results; those without a value are left out.
            label: your name for it, for example a commit. Default: the table's.
            source: which command made it.

        Raises:
            UsageError: when the file cannot be written.
            CaptureError: when the file that is there is no lab book: it is left as it is.
        """
        run = (
            float(self.clock()),
            (label or table.label)[:200],
            source[:40],
            table.machine[:200],
            table.environment.get("memlab", "")[:40],
        )
        with only_writer(self.path), self._written() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._prune(connection, len(table))
                number = self._insert(connection, run, table.results)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # where the disk is full SQLite may have rolled back itself
                    connection.execute("ROLLBACK")
                raise
        return number

    def history(
        self, last: int | None = None, *, match: str = "", machine: str = "", source: str = ""
    ) -> RunHistory:
        """Return runs with their metrics, oldest first; ``with_changes`` adds where one changed.

        Args:
            last: newest runs to return. None: all.
            match: only metrics whose name has this in it.
            machine: only runs of this class of machine.
            source: only runs of this command.

        Raises:
            CaptureError: when there is no such file, or it is no lab book.
        """
        with self._reading() as connection:
            runs = _runs(connection, last, machine, source)
            metrics = _metrics(connection, [run.number for run in runs], match)
            gone = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
            kept = connection.execute("SELECT count(*) FROM runs").fetchone()
        return RunHistory(
            runs=tuple(runs),
            metrics=tuple(metrics),
            dropped=max(0, int(gone[0]) - int(kept[0])) if gone else 0,
        )

    # -- writing

    def _insert(
        self, connection: sqlite3.Connection, run: tuple[Any, ...], results: Sequence[BenchmarkResult]
    ) -> int:
        number = connection.execute(
            "INSERT INTO runs (timestamp, label, source, machine, memlab) VALUES (?, ?, ?, ?, ?)", run
        ).lastrowid
        assert number is not None
        for result in results:
            if result.value is None:
                continue
            words = (result.name[:500], result.unit, result.better, int(result.exact))
            connection.execute(
                "INSERT INTO metrics (name, unit, better, exact) VALUES (?, ?, ?, ?) ON CONFLICT (name) "
                "DO UPDATE SET unit = excluded.unit, better = excluded.better, exact = excluded.exact "
                "WHERE unit <> excluded.unit OR better <> excluded.better OR exact <> excluded.exact",
                words,
            )
            (metric,) = connection.execute("SELECT id FROM metrics WHERE name = ?", words[:1]).fetchone()
            low, high = result.spread or (None, None)
            connection.execute(
                "INSERT OR REPLACE INTO figures VALUES (?, ?, ?, ?, ?, ?)",
                (number, metric, result.value, low, high, _relative(result)),
            )
        return number

    def _prune(self, connection: sqlite3.Connection, coming: int) -> None:
        """Drop oldest runs until the next one has room: an eighth of them, a slice at a time."""
        (kept,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        limit_pages = self.max_bytes // _PAGE - _ROOM_PAGES - coming * 80 // _PAGE
        while kept > 1:
            pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
            free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
            if kept < self.max_runs and pages - free < limit_pages:
                return
            drop = min(max(1, kept // _SPARE), kept - 1, _MOST_SLICE)
            (edge,) = connection.execute(
                "SELECT number FROM runs ORDER BY number LIMIT 1 OFFSET ?", (drop,)
            ).fetchone()
            connection.execute("DELETE FROM figures WHERE run < ?", (edge,))
            connection.execute("DELETE FROM runs WHERE number < ?", (edge,))
            kept -= drop

    @contextlib.contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        name = clean(self.path.name)
        try:
            new = not self.path.exists() or self.path.stat().st_size == 0
            if not new:
                _check_head(self.path)
            with contextlib.closing(
                sqlite3.connect(self.path, isolation_level=None, timeout=_SECONDS)
            ) as connection:
                connection.execute("PRAGMA journal_mode=DELETE").close()
                connection.execute("PRAGMA synchronous=FULL").close()
                if new:
                    _create(connection)
                else:
                    _check_tables(connection)
                yield connection
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise UsageError(f"cannot write {name}: {clean(str(error))}") from None
            raise CaptureError(f"{name} is damaged ({clean(str(error))}): {_REMEDY}") from None
        except OSError as error:
            raise UsageError(f"cannot write {name}: {error.strerror}") from None

    # -- reading

    def _recover(self) -> None:
        """Take back what a killed writer left half done; only a writer may, and a reader could not read."""
        if not self.path.with_name(f"{self.path.name}-journal").exists():
            return
        with only_writer(self.path), contextlib.suppress(UsageError), self._written() as connection:
            connection.execute("SELECT count(*) FROM runs").fetchone()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        name = clean(self.path.name)
        try:
            _check_head(self.path)
            self._recover()
            place = urllib.parse.quote(os.fsencode(Path(self.path).absolute()))
            with contextlib.closing(
                sqlite3.connect(f"file:{place}?mode=ro", uri=True, timeout=_SECONDS)
            ) as connection:
                connection.execute("PRAGMA trusted_schema=OFF").close()
                connection.execute("PRAGMA cell_size_check=ON").close()
                deadline = time.monotonic() + _SECONDS
                connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_CHECKS)
                connection.execute("BEGIN")  # one state of the book for all that is read
                _check_tables(connection)
                yield connection
        except FileNotFoundError:
            raise CaptureError(f"{name} is not there: check the path, or record a run first") from None
        except OSError as error:
            raise CaptureError(f"{name} cannot be read ({error.strerror}): check its permissions") from None
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            raise CaptureError(f"{name} is damaged ({clean(str(error))}): {_REMEDY}") from None


def _create(connection: sqlite3.Connection) -> None:
    for pragma in (f"page_size={_PAGE}", "encoding='UTF-8'"):
        connection.execute(f"PRAGMA {pragma}").close()
    connection.execute("BEGIN IMMEDIATE")
    for definition in _TABLES.values():
        connection.execute(definition)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}").close()
    connection.execute(f"PRAGMA user_version={VERSION}").close()
    connection.execute("COMMIT")


def _check_head(path: Path) -> None:
    """Refuse what is no lab book before SQLite looks at it."""
    name = clean(path.name)
    if path.exists() and not path.is_file():
        raise CaptureError(f"{name} is no regular file: {_REMEDY}")
    with path.open("rb") as file:
        head = file.read(100)
    if not head.startswith(b"SQLite format 3\0") or int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise CaptureError(f"{name} is no lab book of memlab's: {_REMEDY}")
    if int.from_bytes(head[60:64], "big") > VERSION:
        raise CaptureError(f"{name} was written by a newer memlab: update memlab")


def _check_tables(connection: sqlite3.Connection) -> None:
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if {name: sql for name, sql in rows if name != "sqlite_sequence"} != _TABLES:
        raise sqlite3.DatabaseError("its tables are not those of a lab book")


def _relative(result: BenchmarkResult) -> float | None:
    if not result.reference:
        return None
    loop = np.array(result.reference)
    values = np.array(result.samples)
    return float(np.median(values / loop if result.better == "lower" else values * loop))


def _runs(connection: sqlite3.Connection, last: int | None, machine: str, source: str) -> list[HistoryRun]:
    rows = connection.execute(
        "SELECT number, timestamp, label, source, machine, memlab FROM runs "
        "WHERE (? = '' OR machine = ?) AND (? = '' OR source = ?) ORDER BY number DESC LIMIT ?",
        (machine, machine, source, source, -1 if last is None else last),
    ).fetchall()
    return [
        HistoryRun(int(number), float(stamp), *(_text(value) for value in texts))
        for number, stamp, *texts in reversed(rows)
    ]


def _metrics(connection: sqlite3.Connection, numbers: list[int], match: str) -> list[MetricHistory]:
    if not numbers:
        return []
    wanted = set(numbers)
    names = connection.execute("SELECT id, name, unit, better, exact FROM metrics").fetchall()
    found: dict[int, list[tuple[Any, ...]]] = {}
    for metric, *row in connection.execute(
        "SELECT metric, run, value, low, high, relative FROM figures WHERE run >= ? ORDER BY run",
        (min(wanted),),
    ):
        if row[0] in wanted:
            found.setdefault(metric, []).append(tuple(float("nan") if v is None else v for v in row))
    histories = []
    for key, name, unit, better, exact in names:
        if key in found and match in _text(name):
            run, value, low, high, relative = zip(*found[key], strict=True)
            histories.append(
                MetricHistory(
                    _text(name), _text(unit), _text(better), bool(exact),
                    ints(run), floats(value), floats(low), floats(high), floats(relative),
                )
            )  # fmt: skip
    return sorted(histories, key=lambda history: history.name)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("a text is none")
    return value
