"""Noting calls of malloc by line: exact, undone, refused in a sentence, nothing left behind."""

import sys
import sysconfig

import pytest

from memlab.collectors.malloc_lines import Lines, MallocLines, MeteredLines, can_note
from memlab.errors import UnavailableError

HERE = __file__

pytestmark = pytest.mark.skipif(sys.gettrace() is not None, reason="somebody else traces lines")


def mine(filename):
    return filename == HERE


def keeps(kept):
    temporary = bytearray(7_000)
    kept.append(bytearray(5_000))
    return len(temporary)


needs_extension = pytest.mark.skipif(
    not can_note() and (sys.platform != "linux" or bool(sysconfig.get_config_var("Py_GIL_DISABLED"))),
    reason="the extension is for Linux and the limited API",
)


@needs_extension
def test_a_block_is_charged_to_the_line_that_took_it_and_only_while_it_lives():
    """A thousand buffers of 5,000 bytes are live at one line; those that were freed are nowhere."""
    kept = []
    with MallocLines(mine) as noted:
        for number in range(1000):
            noted.epoch(number)
            keeps(kept)
        noted.lines.stop()
        live = noted.live()
    lines = {}
    for site, size in zip(live.site.tolist(), live.size.tolist(), strict=True):
        if size > 4_000:
            line = noted.lines.frames(site)[0][1] - keeps.__code__.co_firstlineno
            lines.setdefault(line, []).append(size)
    assert list(lines) == [2]
    # the list itself, which grew on the same line, may be there too
    assert sum(5_000 <= size <= 5_100 for size in lines[2]) == 1000
    assert live.missed == 0
    assert max(live.epoch.tolist()) == 999


@needs_extension
def test_it_ends_however_it_ends_and_only_one_runs_at_a_time():
    """A second one is refused in a sentence; after an exception the tracer is off and a new one begins."""
    with pytest.raises(ZeroDivisionError), MallocLines(mine):
        with pytest.raises(UnavailableError, match="noted already"), MallocLines(mine):
            pass
        keeps([])
        raise ZeroDivisionError
    assert sys.gettrace() is None
    with MallocLines(mine) as noted:
        assert len(noted.live().site) >= 0


def test_somebody_elses_tracer_is_left_alone():
    """A debugger's trace function stays, and the reason is given."""

    def other(*_):
        return None

    sys.settrace(other)
    try:
        with pytest.raises(UnavailableError, match=r"sys\.settrace"):
            Lines(mine, lambda _: None).start()
        assert sys.gettrace() is other
    finally:
        sys.settrace(None)


def test_a_meter_charges_each_line_with_what_rose_while_it_ran():
    """What the meter rises by during a call is charged to the line of the call, less nothing."""
    meter = [0]

    def take(size):
        meter[0] += size

    def step():
        take(0)
        take(700)
        take(-200)

    with MeteredLines(lambda name: name == HERE, lambda: meter[0]) as metered:
        step()
    first = step.__code__.co_firstlineno
    by_line = {}
    for number, rose in metered.rose.items():
        frames = list(metered.lines.frames(number))
        line = next(line - first for _, line in frames if 0 < line - first < 4)
        by_line[line] = by_line.get(line, 0) + rose
    assert by_line == {2: 700, 3: -200}
