"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from memlab._base import atomic
from memlab._base.atomic import replacing, write_text
from memlab.errors import UsageError

posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and pipes are POSIX's")


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def test_a_new_file_holds_the_text(tmp_path):
    """UTF-8 with line feeds on every system, and nothing beside it."""
    write_text(tmp_path / "é.txt", "a\nü")
    assert (tmp_path / "é.txt").read_bytes() == "a\nü".encode()
    assert names_in(tmp_path) == ["é.txt"]


def test_an_error_in_the_block_leaves_the_old_file(tmp_path):
    """The block's own exception passes unchanged; the temporary file is gone."""
    target = tmp_path / "x"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["x"]


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS], ids=errno.errorcode.get
)
def test_a_failing_disk_leaves_the_old_file(tmp_path, monkeypatch, call, code):
    """Full disk, quota, broken or read-only device: one error with the system's words, nothing left."""
    target = tmp_path / "x"
    target.write_text("old")

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(
        *{"fsync": (atomic.os, "fsync"), "replace": (Path, "replace"), "open": (Path, "write_text")}[call],
        fail,
    )
    with pytest.raises(UsageError, match=os.strerror(code)) as caught:
        write_text(target, "new")
    monkeypatch.undo()
    assert str(caught.value).startswith(f"cannot write {target}: ")
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["x"]


@pytest.mark.parametrize("name", ["missing/x", ".", "nul\0byte"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, name):
    """A missing folder, a folder itself and an impossible name are one UsageError each."""
    with pytest.raises(UsageError, match="cannot write"):
        write_text(f"{tmp_path}/{name}", "x")
    assert names_in(tmp_path) == []


@posix
def test_a_pipe_or_device_is_never_replaced(tmp_path):
    """Writing to a pipe or to /dev/null is refused: it would be replaced by a plain file."""
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UsageError, match="no regular file"):
            write_text(target, "x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@posix
def test_modes_and_links_are_kept(tmp_path):
    """A file that is there keeps its mode; a link goes on pointing; a new file obeys the mask."""
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "fresh", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


def test_a_long_name_still_gets_a_temporary_one(tmp_path):
    """A name of the greatest length that a file system takes can be written."""
    name = "x" * 250
    write_text(tmp_path / name, "x")
    assert names_in(tmp_path) == [name]


def test_two_writers_do_not_share_a_temporary_file(tmp_path):
    """Each has its own, and the last to finish wins whole."""
    with replacing(tmp_path / "x") as one, replacing(tmp_path / "x") as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert (tmp_path / "x").read_text() == "one"
    assert names_in(tmp_path) == ["x"]
