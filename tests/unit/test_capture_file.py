"""The capture file: what is saved is what is loaded, and every bad file is one clear sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import signal
import sqlite3
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from captures import forge, parts_of, row, samples, small_timeline
from hypothesis import given, settings
from strategies import results

from memlab._base.limits import Limits
from memlab.errors import CaptureError, UsageError
from memlab.records.columns import floats, ints
from memlab.records.leak_report import LeakReport
from memlab.records.memit import MemitResult
from memlab.records.timeline import Timeline
from memlab.store import foreign, schema
from memlab.store.capture_file import Header, load, read_header, save
from memlab.store.kinds import KINDS

posix = pytest.mark.skipif(os.name != "posix", reason="pipes, modes and fork are POSIX's")
EXAMPLES = 60 if os.environ.get("MEMLAB_LONG") == "1" else 12
MEMIT = MemitResult(peaks_bytes=(4096,), baseline_bytes=1024)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def query(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a.memlab"


def refusal(path, **options):
    """Return the one error that loading gives, and check its form."""
    with pytest.raises(CaptureError) as caught:
        load(path, **options)
    assert type(caught.value) is CaptureError
    message = str(caught.value)
    assert message.isprintable()
    assert str(Path(path).parent) not in message
    return message


# -- what is saved is what is loaded


@pytest.mark.parametrize("kind", KINDS)
def test_load_gives_back_what_save_was_given(kind):
    """Any value of any kind, as its type hints allow it, comes back equal."""

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(results(KINDS[kind]))
    def round_trip(value):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder, "x.memlab")
            save(value, place)
            assert load(place) == value
            assert names_in(Path(folder)) == ["x.memlab"]

    round_trip()


def test_a_loaded_column_cannot_be_written_to(file):
    """A loaded result is as frozen as a live one, empty columns included."""
    save(Timeline(floats([]), {"rss_bytes": ints([])}), file)
    assert not load(file).time_s.flags.writeable
    save(samples()["timeline"], file)
    assert not load(file).metrics["rss_bytes"].flags.writeable


def test_a_strided_column_is_written_whole(file):
    """A column that is a view of every other value comes back as those values."""
    every_other = np.arange(10, dtype=np.int64)[::2]
    timeline = Timeline(floats(range(5)), {"x": every_other})
    save(timeline, file)
    assert load(file).metrics["x"].tolist() == [0, 2, 4, 6, 8]


def test_the_same_value_gives_the_same_bytes(tmp_path):
    """Nothing of the moment or machine is in a file but what the record holds."""
    for name in ("one", "two"):
        save(samples()["leak report"], tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_long_content_is_stored_in_parts(file, monkeypatch):
    """Content longer than a part goes on in the next row; no value in the file is larger than a part."""
    monkeypatch.setattr(schema, "PART_BYTES", 1000)
    timeline = Timeline(floats(np.arange(300)), {"rss_bytes": ints(np.arange(300))})
    save(timeline, file)
    stored = query(file, "SELECT name, part, length(data) FROM blobs WHERE name = 'array/time_s'")
    assert stored == [("array/time_s", 0, 1000), ("array/time_s", 1, 1000), ("array/time_s", 2, 400)]
    assert load(file) == timeline


def test_any_sql_shell_can_read_it(file):
    """A plain connection sees the application id, the version, sound pages, and raw little-endian numbers."""
    save(Timeline(floats([0.0, 0.5]), {"rss_bytes": ints([4096, 8192])}), file)
    assert query(file, "PRAGMA application_id") == [(0x4D4C4142,)]
    assert query(file, "PRAGMA user_version") == [(2,)]
    assert query(file, "PRAGMA integrity_check") == [("ok",)]
    ((dtype, data),) = query(file, "SELECT dtype, data FROM blobs WHERE name = 'array/metrics/rss_bytes'")
    assert np.frombuffer(data, dtype).tolist() == [4096, 8192]
    assert dict(query(file, "SELECT key, value FROM meta"))["kind"] == "timeline"
    verdict = "SELECT json_extract(cast(data AS text), '$.verdict') FROM blobs WHERE name = 'tree'"
    save(samples()["leak report"], file)
    assert query(file, verdict) == [("leak",)]


def test_the_header_is_read_without_the_content(file, monkeypatch):
    """Kind, version, completeness and writer come from ``meta`` alone."""
    report = samples()["leak report"]
    save(dataclasses.replace(report, complete=False), file)
    monkeypatch.setattr("memlab.store.capture_file._pieces", None)
    header = read_header(file)
    assert (header.kind, header.version, header.complete) == ("leak report", 2, False)
    assert header.written_by.startswith("memlab ")
    assert isinstance(header, Header)


def test_saving_replaces_what_is_there(file):
    """The file is the new value, whatever was there, and nothing lies beside it."""
    file.write_bytes(b"something else" * 1000)
    save(MEMIT, file)
    assert load(file) == MEMIT
    assert names_in(file.parent) == ["a.memlab"]


@pytest.mark.parametrize(
    "name", ["a b.memlab", "a?mode=rwc#%41.memlab", "é漢.memlab", "'\";--.memlab", "line\nfeed", "x" * 250]
)
def test_any_file_name_works(tmp_path, name):
    """No character of a name means anything to the reader."""
    save(MEMIT, tmp_path / name)
    assert load(tmp_path / name) == MEMIT
    assert load(os.fsencode(tmp_path / name)) == MEMIT
    assert names_in(tmp_path) == [name]


@posix
def test_a_name_that_is_no_text_works(tmp_path):
    """A name that is not UTF-8, as Linux allows it, is read, and is printable in an error."""
    name = os.fsdecode(bytes(tmp_path / "x") + b"\xff")
    save(MEMIT, name)
    assert load(name) == MEMIT
    Path(name).write_bytes(b"junk")
    assert refusal(name).startswith("x\\udcff is no memlab capture")


def test_relative_paths_and_links_work(tmp_path, monkeypatch):
    """The path is taken from the working directory."""
    monkeypatch.chdir(tmp_path)
    save(MEMIT, "a.memlab")
    assert load("a.memlab") == load(Path("./a.memlab")) == MEMIT


def test_a_foreign_journal_beside_it_is_neither_read_nor_touched(file):
    """Rollback journals and WAL files beside a capture could change what is read: they are ignored."""
    save(MEMIT, file)
    beside = {suffix: os.urandom(512) for suffix in ("-journal", "-wal", "-shm")}
    for suffix, content in beside.items():
        Path(f"{file}{suffix}").write_bytes(content)
    assert load(file) == MEMIT
    assert {s: Path(f"{file}{s}").read_bytes() for s in beside} == beside


def test_a_newer_writers_extra_blobs_and_fields_are_skipped(file):
    """Rows and fields under unknown names do no harm within a schema version."""
    _, arrays = small_timeline()
    rows = [
        row("tree", "json", b'{"time_s": {"array": "time_s"}, "metrics": {}, "invented": [1]}'),
        row("array/time_s", "<f8", arrays["time_s"].tobytes()),
        row("series/0001", "<i8", b"\0" * 16),
        row("array/unused", "<i8", b"\0" * 16),
    ]
    assert len(load(forge(file, rows=rows))) == 2


# -- saving that cannot be


@pytest.mark.parametrize("value", [None, 3, "text", {"kind": "timeline"}, object(), Timeline], ids=str)
def test_only_results_are_saved(file, value):
    """Anything else is refused by the name of its type, never by its repr."""
    with pytest.raises(UsageError, match="save: needs a result of memlab, not "):
        save(value, file)
    assert names_in(file.parent) == []


def test_a_stranger_that_claims_a_kind_is_refused(file):
    """The class decides, not an attribute; nothing of the stranger is run."""

    class Stranger:
        kind = []

        @property
        def complete(self):
            raise AssertionError("user code ran")

    with pytest.raises(UsageError, match="Stranger"):
        save(Stranger(), file)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "x" * 70_000}, "MemitResult.source: expected Unicode text"),
        ({"source": "\ud800"}, "MemitResult.source"),
        ({"baseline_bytes": 2**63}, "MemitResult.baseline_bytes"),
        ({"peaks_bytes": {1}}, "MemitResult.peaks_bytes"),
        ({"notes": (object(),)}, "MemitResult.notes"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(file, changes, words):
    """A value that a capture cannot give back is refused when it is saved, not when it is needed."""
    file.write_text("old")
    with pytest.raises(UsageError, match=words):
        save(dataclasses.replace(MEMIT, **changes), file)
    assert file.read_text() == "old"


def test_a_column_of_another_type_is_not_saved(file):
    """A 32-bit column would not come back equal: it is refused."""
    with pytest.raises(UsageError, match=r"Timeline\.metrics\[x\]"):
        save(Timeline(floats([0]), {"x": np.zeros(1, np.int32)}), file)


def test_a_missing_folder_is_named(tmp_path):
    """The message is about writing and gives the path."""
    with pytest.raises(UsageError, match=r"cannot write .*missing"):
        save(MEMIT, tmp_path / "missing" / "a.memlab")


@pytest.mark.parametrize("words", ["database or disk is full", "disk I/O error"])
def test_a_full_disk_leaves_the_old_file(file, monkeypatch, words):
    """The error says what the disk said; the old file is whole and nothing lies beside it."""
    save(MEMIT, file)

    def fail(*args, **kwargs):
        raise sqlite3.OperationalError(words)

    monkeypatch.setattr("memlab.store.capture_file._write", fail)
    with pytest.raises(UsageError, match=f"cannot write {file}: {words}"):
        save(samples()["timeline"], file)
    monkeypatch.undo()
    assert load(file) == MEMIT
    assert names_in(file.parent) == ["a.memlab"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_failing_sync_leaves_the_old_file(file, monkeypatch, code):
    """A disk that fails only when it is asked to keep the bytes is noticed."""
    save(MEMIT, file)

    def fail(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UsageError, match=os.strerror(code)):
        save(samples()["timeline"], file)
    monkeypatch.undo()
    assert load(file) == MEMIT
    assert names_in(file.parent) == ["a.memlab"]


def in_child(action):
    """Run ``action`` in a forked child; return its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = action()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@posix
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("room", [0, 4096, 9000, 20_000, 40_000])
def test_a_real_limit_on_file_size_leaves_the_old_file(file, room):
    """With real writes that fail after so many bytes, one error, the old value, and no temporary file."""
    import resource

    save(MEMIT, file)
    # Digits of chance: what can be packed would fit.
    chance = np.random.default_rng(1).bytes(80_000)
    big = Timeline(np.arange(10_000.0), {"rss_bytes": np.frombuffer(chance, np.int64)})

    def action():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        try:
            save(big, file)
        except UsageError as error:
            return 0 if str(error).startswith("cannot write ") else 2
        return 3

    assert in_child(action) == 0
    assert load(file) == MEMIT
    assert names_in(file.parent) == ["a.memlab"]


def lines_of_save(value, place, stop_at=None):
    """Count the lines that ``save`` runs; at line ``stop_at`` end the process as the kernel would."""
    count = 0

    def tracer(frame, event, arg):
        nonlocal count
        count += event == "line"
        if count == stop_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        save(value, place)
    finally:
        sys.settrace(before)
    return count


@posix
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_kill_during_save_leaves_old_or_new(file):
    """A process killed anywhere in a save leaves the old value or the new one, never neither."""
    new = Timeline(floats(np.arange(2000)), {"rss_bytes": ints(np.arange(2000))})
    save(new, file)
    total = lines_of_save(new, file)
    outcomes = []
    # The last lines are where the file moves into place: each of them, and points spread over all before.
    for point in [*range(1, total - 30, total // 10), *range(total - 30, total, 3)]:
        save(MEMIT, file)
        assert in_child(lambda point=point: lines_of_save(new, file, point) and 1) == -signal.SIGKILL
        outcomes.append(load(file).kind)
        assert all(n == "a.memlab" or n.endswith(".tmp") for n in names_in(file.parent))
    assert outcomes[0] == "memit"
    assert outcomes[-1] == "timeline"
    assert outcomes == sorted(outcomes)


# -- files that are no captures


def test_a_missing_file_is_named(tmp_path):
    """By its name alone, without its folder."""
    assert refusal(tmp_path / "no.memlab") == "no.memlab is not there: check the path"


def test_a_folder_is_no_capture(tmp_path):
    """Whether the system opens folders or not."""
    assert "regular file" in refusal(tmp_path) or "cannot be read" in refusal(tmp_path)
    assert refusal(f"{tmp_path}/").startswith(tmp_path.name)


@posix
def test_pipes_and_devices_are_not_waited_for(tmp_path):
    """A pipe without a writer and a device without an end are refused at once."""
    os.mkfifo(tmp_path / "pipe")
    assert "is no regular file" in refusal(tmp_path / "pipe")
    with pytest.raises(CaptureError, match="zero is no regular file"):
        load("/dev/zero")


def test_a_file_that_may_not_be_read_says_so(file, monkeypatch):
    """The system's words and the remedy."""
    save(MEMIT, file)

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(foreign.os, "open", refuse)
    message = refusal(file)
    assert message == "a.memlab cannot be read (Permission denied): check the path and its permissions"


@pytest.mark.parametrize("path", ["", "a\0b", "."], ids=repr)
def test_an_impossible_path_is_one_error(path):
    """No path ends in another kind of error."""
    with pytest.raises(CaptureError):
        load(path)


@pytest.mark.parametrize("path", [None, 3, object()], ids=lambda p: type(p).__name__)
def test_what_is_no_path_is_bad_use(path):
    """A wrong argument is told from a bad file."""
    with pytest.raises(UsageError, match="needs the path of a file"):
        load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"just some notes\n" * 100, b"SQLite format 3", b"\x80\x04}", b"PK\x03\x04" + bytes(200)],
    ids=repr,
)
def test_other_files_are_no_captures(file, content):
    """Empty files, text, pickles and archives are told what a capture is."""
    file.write_bytes(content)
    assert refusal(file).startswith("a.memlab is no memlab capture: ")


def test_another_programs_database_is_no_capture(file):
    """A sound SQLite file without our application id is another program's."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE notes (text)")
        connection.commit()
    assert refusal(file).startswith("a.memlab is no memlab capture: ")


@pytest.mark.parametrize("version", [3, 77, 2**31 - 1])
def test_a_newer_file_says_update(file, version):
    """A newer schema is not guessed at, however it looks inside."""
    forge(file, tables=["CREATE TABLE other (x)"], pragmas=[f"user_version={version}"])
    message = refusal(file)
    assert "was written by a newer memlab" in message
    assert message.endswith("update memlab")


def test_an_unknown_kind_says_update(file):
    """A kind of a newer memlab within the same schema, its name made printable."""
    forge(file, kind="holo\x1bgram", tree={})
    assert refusal(file) == "a.memlab holds a holo\\x1bgram, which this memlab does not know: update memlab"


def test_a_truncated_file_says_how_much_is_missing(file):
    """Cut anywhere after its header, it is cut short; before, it is no capture."""
    save(samples()["timeline"], file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert f"is cut short ({len(whole) - 1:,} of {len(whole):,} bytes)" in refusal(file)
    file.write_bytes(whole[:60])
    assert "is cut short" in refusal(file)


def test_one_flipped_bit_in_the_content_is_found(file):
    """The check of the piece differs, and the message names the piece."""
    save(Timeline(floats([0.5] * 100), {}), file)
    damaged = bytearray(file.read_bytes())
    damaged[damaged.rindex(np.float64(0.5).tobytes())] ^= 1
    file.write_bytes(damaged)
    assert refusal(file) == (
        "a.memlab is damaged (the check of array/time_s differs): record again, or take a fresh copy"
    )


# -- hostile files

VIEW = "CREATE VIEW {0} AS SELECT 1 AS id, 'kind' AS key, 'timeline' AS value, 0 AS crc32"
META, BLOBS = schema.TABLES["meta"], schema.TABLES["blobs"]


@pytest.mark.parametrize(
    "tables",
    [
        [],
        [META],
        [BLOBS, VIEW.format("meta")],
        [META, VIEW.format("blobs")],
        [META, BLOBS, "CREATE VIEW spare AS SELECT load_extension('x')"],
        [META, BLOBS, "CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM blobs; END"],
        [META, BLOBS, "CREATE INDEX i ON blobs (name)"],
        [META, BLOBS.replace("data BLOB", "data BLOB AS (zeroblob(1000000000)) VIRTUAL")],
        [META, BLOBS.replace("size INTEGER", "size INTEGER DEFAULT (random())")],
        [META, BLOBS.replace("crc32 INTEGER", "crc32 INTEGER CHECK (crc32 > 0)")],
        [META, BLOBS.replace("name TEXT", "name TEXT COLLATE NOCASE")],
        [META, BLOBS.replace("CREATE TABLE blobs", 'CREATE TABLE "blobs"')],
        [META.replace("meta", "META"), BLOBS],
        ["CREATE VIRTUAL TABLE meta USING fts5(x)"],
        [f"CREATE TABLE t{i} (x)" for i in range(500)],
    ],
    ids=lambda tables: " ".join(tables)[-60:],
)
def test_only_our_own_tables_are_read(file, tables):
    """Views, triggers, indexes, computed columns and strangers are refused before anything is read."""
    try:
        forge(file, tables=tables)
    except sqlite3.OperationalError as error:
        pytest.skip(f"this SQLite cannot make the file: {error}")
    message = refusal(file)
    assert "is no memlab capture" in message or "is damaged" in message


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT load_extension('x')",
        "SELECT length(data) FROM blobs",
        "SELECT name FROM blobs UNION SELECT key FROM meta",
        "SELECT * FROM sqlite_temp_master",
        "SELECT * FROM pragma_table_info('meta')",
        "PRAGMA writable_schema=ON",
        "PRAGMA journal_mode",
        "ATTACH ':memory:' AS other",
        "INSERT INTO meta VALUES (9, 'a', 'b', 0)",
        "DELETE FROM blobs",
        "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t (x)",
        "BEGIN",
        "VACUUM INTO '/tmp/should-not-be'",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
    ],
)
def test_the_connection_can_do_nothing_but_read_columns(file, statement):
    """Even a statement of our own could not call a function, write, attach or set anything."""
    save(MEMIT, file)
    with (
        foreign.opened(str(file), Limits()) as (connection, _),
        pytest.raises((sqlite3.DatabaseError, sqlite3.OperationalError)),
    ):
        connection.execute(statement).fetchall()
    assert names_in(file.parent) == ["a.memlab"]


def test_work_that_takes_too_long_is_ended(file):
    """The deadline interrupts SQLite itself, and reading ends in the one error."""
    rows = [row(f"series/{i:04}", "<i8", b"\0" * 8) for i in range(5000)]
    forge(file, rows=[row("tree", "json", b"{}"), *rows])
    assert "interrupted" in refusal(file, limits=Limits(seconds=1e-9))


def test_the_connection_is_closed_after_every_outcome(file, monkeypatch):
    """Value or error, no connection stays open."""
    opened = []
    connect = sqlite3.connect

    def watched(*args, **kwargs):
        opened.append(connect(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(foreign.sqlite3, "connect", watched)
    tree, arrays = small_timeline()
    load(forge(file, tree=tree, arrays=arrays))
    opened.clear()
    load(file)
    refusal(forge(file, tree=[], arrays=arrays))
    assert opened
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


GIB = 2**30


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no tree"),
        ([row("tree", "<i8", b"{}")], "no tree"),
        ([row("tree", "json", b"{}", size=GIB)], "declares"),
        ([row("tree", "json", b"{}", size=-1)], "declares"),
        ([row("tree", "json", b"{}", size=2**62), row("x", "<i8", b"", size=2**62)], "declares"),
        ([row("tree", "json", b"{}", size=3)], "has not the size"),
        ([row("tree", "json", b"{}", crc32=0)], "the check of tree differs"),
        ([row("tree", "json", "{}", size=2)], "has not the size"),
        ([row("tree", "json", None, size=0)], "has not the size"),
        ([row("tree", "json", b"{", part=0), row("tree", "json", b"}", part=2)], "does not continue"),
        ([row("tree", "json", b"{}"), row("tree", "json", b"{}")], "does not continue"),
        ([row("tree", "json", b"{", part=0), row("tree", "<i8", b"}", part=1)], "does not continue"),
        ([row("tree", "json", b"{}", part=1)], "does not continue"),
        ([(b"tree", 0, "json", "raw", 2, 2, 0, b"{}")], "not of its form"),
        ([("tree", 0.5, "json", "raw", 2, 2, 0, b"{}")], "not of its form"),
        ([("tree", 0, None, "raw", 2, 2, 0, b"{}")], "not of its form"),
        ([("tree", 0, "json", "raw", "2", 2, 0, b"{}")], "not of its form|declares|has not|check"),
        ([("tree", 0, "json", None, 2, 2, 0, b"{}")], "not of its form"),
        ([("tree", 0, "json", "raw", 2, None, 0, b"{}")], "not of its form"),
        ([row("t" * 2000, "json", b"{}")], "too long"),
        ([row("tree", "j" * 2000, b"{}")], "too long"),
        ([row("tree", "json", b"{}"), row("array/x", "|O", b"\0" * 8)], "no type that a capture may hold"),
        ([row("tree", "json", b"{}"), row("array/x", "<U2", b"\0" * 8)], "no type that a capture may hold"),
        ([row("tree", "json", b"{}"), row("array/x", "[('a', 'O')]", b"\0" * 8)], "no type that"),
        ([row("tree", "json", b"{}"), row("array/x", "<i8", b"\0" * 7)], "broken length"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_rows_that_lie_are_refused(file, rows, words):
    """Sizes are added up before anything is allocated; every piece is what it declares, and checked."""
    forge(file, rows=rows)
    with pytest.raises(CaptureError, match=words):
        load(file)
    refusal(file)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (b"", "Expecting value"),
        (b"[]", "no mapping"),
        (b"null", "no mapping"),
        (b"{} {}", "Extra data"),
        (b'{"a": ', "Expecting value"),
        (b'{"time_s": NaN, "metrics": {}}', "expected an array"),
        (b"\xff\xfe", "utf-8"),
        (b'{"time_s": ' + b"9" * 10_000 + b"}", "digits|expected an array"),
        (b'{"x": ' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper than 64"),
        (b'{"x": ["]]]]", ' * 100, "nested deeper than 64"),
        (b'{"x": ["\\"]]]]", ' * 100, "nested deeper than 64"),
        (b'{"x": ["\\\\", ' * 100, "nested deeper than 64"),
        (b"[" * 5_000_000, "values"),
        (b'{"a":1e999}', "missing 2 required"),
        (b"{}", "missing 2 required"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_trees_that_are_no_records_are_refused(file, tree, words):
    """Broken, huge and deep JSON is refused before or while it is parsed, never by the stack."""
    rows = [
        row("tree", "json", tree[i : i + 10**6], part=i // 10**6) for i in range(0, len(tree) or 1, 10**6)
    ]
    forge(file, rows=rows)
    with pytest.raises(CaptureError, match=words):
        load(file)
    refusal(file)


def test_brackets_in_text_are_no_nesting(file):
    """Only structure counts: a label full of brackets, quotes and backslashes is loaded."""
    label = "[{" * 200 + '"\\' * 50 + "]" * 7
    value = dataclasses.replace(MEMIT, source=label)
    save(value, file)
    assert load(file) == value


def test_deep_nesting_is_refused_at_any_recursion_limit(file):
    """A user who raised the limit is not led into a crash of the parser."""
    forge(file, tree=b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        assert "nested deeper" in refusal(file)
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"kind": "timeline"},
        {"kind": "timeline", "complete": "yes"},
        {"kind": "timeline", "complete": "maybe", "written_by": "x"},
        {"kind": "timeline", "complete": "yes", "written_by": "x", "more": "y"},
        {"kind": b"timeline", "complete": "yes", "written_by": "x"},
    ],
    ids=str,
)
def test_a_header_that_is_not_whole_is_refused(file, meta):
    """Every key, each once, nothing else; the header alone refuses it too."""
    tree, arrays = small_timeline()
    forge(file, tree=tree, arrays=arrays, meta=meta)
    assert "meta" in refusal(file)
    with pytest.raises(CaptureError, match="meta"):
        read_header(file)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(file_bytes=4096), "the reader's limit is 4.00 KiB"),
        (Limits(tree_bytes=100), "bytes of JSON"),
        (Limits(tree_values=10), "values"),
        (Limits(depth=2), "nested deeper than 2"),
        (Limits(blobs=2), "more than 2 pieces"),
        (Limits(memory_bytes=100), "unpacks to more than the reader's limit of 100 B"),
    ],
    ids=str,
)
def test_limits_are_the_readers(file, limits, words):
    """Each limit refuses what is over it; without it the file is read."""
    report = samples()["leak report"]
    save(report, file)
    assert words in refusal(file, limits=limits)
    assert load(file) == report


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "many", None])
def test_a_limit_is_a_number_above_nought(value):
    """No limit can be switched off by accident."""
    with pytest.raises(UsageError, match="file_bytes"):
        Limits(file_bytes=value)


def test_a_small_file_that_claims_gigabytes_takes_no_memory(file):
    """The header's page count and every declared size are held against the file's own size."""
    import tracemalloc

    tree, arrays = small_timeline()
    forge(file, tree=tree, arrays=arrays)
    content = bytearray(file.read_bytes())
    content[28:32] = (2**31 - 1).to_bytes(4, "big")
    file.write_bytes(content)
    tracemalloc.start()
    try:
        assert "is cut short" in refusal(file)
        forge(file, rows=[row("tree", "json", b"{}", size=schema.PART_BYTES)] * 300)
        assert "declares" in refusal(file)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_values_of_the_wrong_meaning_are_refused(file):
    """Checks that types cannot make are the record's own: an index outside its table is damage."""
    tree, arrays = parts_of(samples()["snapshot"])
    arrays["frame_of"] = arrays["frame_of"] + 10**6
    forge(file, "snapshot", tree, arrays)
    assert "frame_of points outside its table" in refusal(file)


def test_a_kind_is_read_as_its_own_class_only(file):
    """The tree of one kind under another's name is refused, not converted."""
    tree, arrays = parts_of(samples()["timeline"])
    forge(file, LeakReport.kind, tree, arrays)
    assert "LeakReport" in refusal(file)
