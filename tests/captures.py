"""Captures for tests: one sample of each kind, and files made row by row, as an attacker would make them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sqlite3
from pathlib import Path

import numpy as np

from memlab.records import codec
from memlab.store import schema
from memlab.store.kinds import KINDS


def samples():
    """Return one realistic result of every kind, by kind."""
    place = Path(__file__).with_name("unit") / "samples.py"
    spec = importlib.util.spec_from_file_location("memlab_test_samples", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = {}
    for value in module.all_results().values():
        made.setdefault(value.kind, value)
    assert made.keys() == KINDS.keys()
    return made


def parts_of(result):
    """Return the tree and arrays of a result as ``forge`` takes them."""
    encoded = codec.encode(result)
    return json.loads(json.dumps(encoded.tree)), dict(encoded.arrays)


def forge(
    path,
    kind="timeline",
    tree=None,
    arrays=None,
    *,
    meta=None,
    rows=None,
    pragmas=(),
    tables=None,
    version=schema.VERSION,
):
    """Write a capture whose checks are all right and whose content is whatever is given.

    ``version`` 1 writes the older layout, which took no packed rows.
    ``rows`` replaces the rows of ``blobs``, ``tables`` the definitions, ``meta`` the rows of ``meta``.
    """
    values = {"kind": kind, "complete": "yes", "written_by": "memlab 0.1.0"} if meta is None else meta
    if rows is None:
        text = tree if isinstance(tree, bytes) else json.dumps(tree).encode("utf-8", "surrogatepass")
        rows = [row(schema.TREE, schema.JSON, text)]
        rows += [row(f"array/{name}", a.dtype.str, a.tobytes()) for name, a in (arrays or {}).items()]
    Path(path).unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in (
            f"page_size={schema.PAGE_BYTES}",
            "journal_mode=OFF",
            f"application_id={schema.APPLICATION_ID}",
            f"user_version={version}",
            *pragmas,
        ):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.execute("BEGIN")
        for definition in schema.tables_of(version).values() if tables is None else tables:
            connection.execute(definition)
        if tables is None:
            connection.executemany(
                "INSERT INTO meta VALUES (NULL, ?, ?, ?)",
                [(key, value, schema.meta_crc(key, value)) for key, value in values.items()],
            )
            if version == 1:
                rows = [older_row(*given) for given in rows]
            marks = ", ".join("?" * (6 if version == 1 else 8))
            connection.executemany(f"INSERT INTO blobs VALUES (NULL, {marks})", rows)
        connection.execute("COMMIT")
    return path


def row(name, dtype, data, *, part=0, coding=schema.PLAIN, size=None, stored=None, crc32=None):
    """Return a row of ``blobs`` with a right check, unless told otherwise."""
    length = len(data) if data is not None else 0
    declared = length if size is None else size
    kept = (declared if coding == schema.PLAIN else length) if stored is None else stored
    labels = {"coding": coding, "size": declared}
    right = schema.blob_crc(name, part, dtype, data, **labels) if isinstance(data, bytes) else 0
    return name, part, dtype, coding, declared, kept, right if crc32 is None else crc32, data


def older_row(name, part, dtype, coding, size, stored, crc32, data):
    """Return a row as version 1 had it."""
    assert coding == schema.PLAIN
    return name, part, dtype, size, schema.older_blob_crc(name, part, dtype, data), data


def small_timeline():
    """Return the tree and arrays of the least timeline with a metric."""
    tree = {"time_s": {"array": "time_s"}, "metrics": {"rss_bytes": {"array": "metrics/rss_bytes"}}}
    arrays = {"time_s": np.array([0.0, 1.0]), "metrics/rss_bytes": np.array([4096, 8192])}
    return tree, arrays
