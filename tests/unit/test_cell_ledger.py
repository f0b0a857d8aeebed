"""The per-cell ledger: what each cell did, nothing held, hooks there only while it is on."""

import gc
import time

import pytest
from unit.shells import one_shell, run, shell  # noqa: F401 - fixtures

import memlab
from memlab.collectors.high_water import Region
from memlab.lab.cell_watch import CellWatch

MIB = 1024 * 1024
EXACT = Region().start().stop().source == "vmhwm"
SPIKE = """
import mmap
def mapped(mib):
    block = mmap.mmap(-1, mib << 20)
    for at in range(0, mib << 20, mmap.PAGESIZE):
        block[at] = 1
    return block
"""


@pytest.fixture
def cells(run, shell):  # noqa: F811 - the fixtures
    """Run cells with the ledger on; return the rows by a word of their first line."""
    run(SPIKE)
    assert run("%memcells on").success

    def measured(*sources):
        for source in sources:
            run(source)
        return run("ledger = %memcells show -oq\nledger").result

    yield measured
    run("%memcells off -q")


def test_a_cell_has_its_growth_its_exact_peak_its_time_and_what_it_bound(cells):
    ledger = cells("mapped(40).close()", "kept = mapped(10)", "import time\ntime.sleep(0.2)", "kept.close()")
    spike, kept, slept, closed = ledger.cells
    if EXACT:
        assert spike.peak_source == "vmhwm"
        assert (spike.peak_bytes - spike.start_bytes) / MIB == pytest.approx(40, abs=2)
    assert spike.diff_bytes / MIB == pytest.approx(0, abs=2)
    assert kept.diff_bytes / MIB == pytest.approx(10, abs=2)
    assert closed.diff_bytes / MIB == pytest.approx(-10, abs=2)
    assert 0.2 <= slept.seconds < 20
    assert [bound.name for bound in kept.names] == ["kept"]
    assert kept.names[0].type_name == "mmap.mmap"
    assert [cell.outcome for cell in ledger.cells] == ["ok"] * 4
    assert kept.label == "kept = mapped(10)"
    assert len(ledger.samples(2)[1]) >= 2


def test_survivors_are_counted_by_type_and_the_collector_has_its_share(cells):
    ledger = cells(
        """
        import gc
        class Node:
            pass
        nodes = [Node() for _ in range(5000)]
        gc.collect()
        """
    )
    row = ledger.cells[0]
    survivors = {one.type_name: one.objects for one in row.survivors}
    assert survivors["__main__.Node"] == 5000
    assert row.objects_diff >= 4500
    assert row.collections >= 1
    assert 0 < row.gc_seconds < row.seconds


def test_nothing_of_the_cell_is_held(cells, run):  # noqa: F811
    cells(
        """
        import gc, weakref
        class Held: pass
        held = Held()
        refs = [weakref.ref(held), weakref.ref(Held)]
        """
    )
    run("del held, Held")
    gc.collect()
    assert run("[ref() for ref in refs]").result == [None, None]
    inside = (
        "class Brief: pass\nb = Brief()\nr = weakref.ref(b), weakref.ref(Brief)\ndel b, Brief\ngc.collect()"
    )
    run(inside + "\nalive = [one() for one in r]")
    assert run("alive").result == [None, None]


def test_exceptions_and_cells_that_do_not_compile_end_their_row(cells):
    ledger = cells("1 / 0", "syntax error(", "raise KeyboardInterrupt")
    assert [cell.outcome for cell in ledger.cells] == [
        "ZeroDivisionError",
        "SyntaxError",
        "KeyboardInterrupt",
    ]


def test_cells_in_cells_and_scripts(cells, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("value = 1\n", encoding="utf-8")
    ledger = cells("get_ipython().run_cell('inner = 2')", f"%run {script}", "%memit 1", "%%time\nx = 1")
    assert [(cell.label, cell.depth) for cell in ledger.cells] == [
        ("inner = 2", 1),
        ("get_ipython().run_cell('…')", 0),
        ("%run", 0),
        ("%memit", 0),
        ("%%time", 0),
    ]
    assert ledger.cells[0].number == 0


def test_a_cells_text_is_not_in_the_ledger(cells):
    text = repr(cells("token = 's3cret'  # why", "!echo s3cret", "%env TOKEN=s3cret").to_dict())
    assert "s3cret" not in text
    assert "why" not in text


def test_off_takes_both_hooks_and_the_callback_away_and_keeps_the_rows(cells, run, shell):  # noqa: F811
    before = {name: list(hooks) for name, hooks in shell.events.callbacks.items()}
    cells("x = 1")
    assert "1 are kept" in run("%memcells off").out
    assert {name: len(hooks) for name, hooks in shell.events.callbacks.items()} == {
        name: len(hooks) - (name in ("pre_run_cell", "post_run_cell")) for name, hooks in before.items()
    }
    assert gc.callbacks == []
    assert "x = 1" in run("%memcells show").out
    assert run("%memcells on -q").success
    run("y = 2")
    assert len(run("ledger = %memcells show -oq\nledger").result) == 2
    assert "it is on already" in str(run("%memcells on").error_in_exec)
    assert run("%memcells clear").success


def test_unload_takes_it_away(shell, run):  # noqa: F811
    from memlab.faces.ipython.magics import unregister

    run("%memcells on -q")
    assert len(shell.events.callbacks["pre_run_cell"]) == 1
    unregister(shell)
    assert shell.events.callbacks["pre_run_cell"] == []
    assert gc.callbacks == []


def test_the_page_and_the_file(cells, run, tmp_path):  # noqa: F811
    cells("kept = mapped(3)")
    run(f"%memcells html {tmp_path}/cells.html")
    run(f"%memcells save {tmp_path}/cells.memlab")
    page = (tmp_path / "cells.html").read_text(encoding="utf-8")
    assert page.count('<svg class="spark"') >= 1
    ledger = memlab.load(tmp_path / "cells.memlab")
    assert ledger.cells[0].label == "kept = mapped(3)"
    assert len(ledger.to_frame()) == len(ledger)


def test_counting_that_takes_too_long_rests_and_says_so():
    watch = CellWatch(budget_s=0.0)
    for token in range(3):
        watch.begin(token, token, "x", {})
        watch.end(token, "ok", {})
    ledger = watch.ledger()
    watch.close()
    assert ledger.cells[1].objects_diff is None
    assert ledger.cells[1].survivors == ()
    assert "above the budget of 0 ms" in ledger.cells[1].cut
    assert "above the budget" in str(ledger)


def test_it_is_bounded_and_a_begin_without_an_end_is_given_up():
    watch = CellWatch(most=2)
    watch.begin(99, 9, "never ends", {})
    for token in range(3):
        watch.begin(token, token, "x", {})
        watch.end(token, "ok", {})
    watch.end(12345, "ok", {})
    watch.end(99, "ok", {})
    ledger = watch.ledger()
    assert (len(ledger), ledger.dropped) == (2, 2)
    watch.begin(1, 1, "left open", {})
    watch.begin(2, 2, "left open too", {})
    watch.discard(2)
    watch.close()


def test_its_own_cost_is_told():
    watch = CellWatch()
    began = time.perf_counter()
    watch.begin(1, 1, "x", {})
    watch.end(1, "ok", {})
    assert 0 < watch.ledger().overhead_s <= time.perf_counter() - began
    watch.close()
