"""%memit, %mprun and await in them: every option of memory_profiler's, and a real kernel."""

import inspect
import io
import re

import pytest
from IPython.core.error import UsageError as ShellUsageError
from unit.shells import one_shell, run, shell  # noqa: F401 - fixtures

from memlab.faces.ipython.awaiting import Awaiting
from memlab.records.line_profile import LineProfile

MIB = 1024 * 1024


def options_of(name):
    """The option letters of one of memory_profiler's magics, from its own call of the parser."""
    memory_profiler = pytest.importorskip("memory_profiler")
    source = inspect.getsource(getattr(memory_profiler.MemoryProfilerMagics, name))
    letters = re.search(r"parse_options\(\s*\w+,\s*'([a-zA-Z:]+)'", source).group(1)
    documented = set(re.findall(r"^\s+-([a-zA-Z])(?:<|:| <)", source, re.MULTILINE))
    takes = set(re.findall(r"([a-zA-Z]):", letters))
    assert documented <= set(letters) - {":"}
    return {letter: letter in takes for letter in letters.replace(":", "")}


def test_memit_takes_every_option_that_memory_profilers_takes(run):  # noqa: F811 - the fixture
    options = options_of("memit")
    assert set(options) == set("rticoq")
    for letter, takes in options.items():
        for form in [f"-{letter}2", f"-{letter} 2"] if takes else [f"-{letter}"]:
            done = run(f"%memit {form} 1 + 1")
            assert done.success, form
            quiet = letter == "q"
            assert done.out.startswith("" if quiet else "peak memory: ")
            assert bool(done.out) is not quiet
    everything = " ".join(f"-{letter}2" if takes else f"-{letter}" for letter, takes in options.items())
    result = run(f"%memit {everything} 1 + 1").result
    assert (result.repeat, result.timeout, result.interval, result.include_children) == (2, 2, 2.0, True)
    memory_profiler = pytest.importorskip("memory_profiler")
    for name in vars(memory_profiler.MemitResult([1.0], 1.0, 1, None, 0.1, False)):
        assert hasattr(result, name)


def test_mprun_takes_every_option_that_memory_profilers_takes(run, tmp_path):  # noqa: F811
    options = options_of("mprun")
    assert set(options) == set("rfTc")
    run("def work():\n    return [0] * 10")
    file = tmp_path / "lines.txt"
    done = run(f"%mprun -r -f work -T {file} -c work()")
    assert isinstance(done.result, LineProfile)
    assert "return [0] * 10" in file.read_text(encoding="utf-8")
    assert f"*** Profile printout saved to text file {file}." in done.out
    assert "def work():" in done.out


def test_a_small_rise_is_told_with_what_rss_does_not_show(run):  # noqa: F811
    lines = run("%memit 1").out.splitlines()
    assert lines[0].startswith("peak memory: ")
    assert lines[1].startswith("  note: RSS rose by less than 1.00 MiB")
    assert run("m = %memit -oq 1\nm.notes[0][:8]").result == "RSS rose"


def test_mprun_follows_functions_of_cells_and_shows_the_table_in_the_output(run):  # noqa: F811
    run(
        """
        class Store:
            def fill(self):
                self.rows = bytearray(50 << 20)
                del self.rows
            @staticmethod
            def other():
                return 1
        def produce():
            yield 1
        """
    )
    done = run(
        "%mprun -f Store.fill -f Store.other -f produce Store().fill(); Store.other(); list(produce())"
    )
    assert done.success
    for text in ("Function: Store.fill", "Function: Store.other", "Function: produce", "Cell In["):
        assert text in done.out
    profile = run("p = %mprun -rq -f Store Store().fill()\np").result
    assert [function.name for function in profile.functions] == ["Store.fill", "Store.other"]


def test_without_f_a_cell_shows_its_own_lines_and_a_line_what_it_calls(run):  # noqa: F811
    out = run("%%mprun\nnumbers = list(range(10))\nfor n in numbers:\n    total = n").out
    assert re.search(r"^ +2 .* 1 .* numbers = list\(range\(10\)\)$", out, re.MULTILINE)
    assert re.search(r"^ +3 .* 11 .* for n in numbers:$", out, re.MULTILINE)
    assert run("total").result == 9
    run("def work():\n    return 5")
    assert "Function: work" in run("%mprun work()").out


def test_a_function_that_the_cell_defines_is_found_by_its_name(run):  # noqa: F811
    out = run("%%mprun -f late\ndef late():\n    return 7\nkept = late()").out
    assert "Function: late" in out
    assert run("kept").result == 7


def test_profile_needs_no_import_while_mprun_runs_and_is_gone_after(run):  # noqa: F811
    out = run(
        "%%mprun -f one\ndef one():\n    return 1\n@profile\ndef other():\n    return one()\nother()"
    ).out
    assert "Function: other" in out
    assert isinstance(run("profile").error_in_exec, NameError)
    run("import builtins\nbuiltins.profile = 5")
    run("%%mprun -q\nx = 1")
    assert run("y = builtins.profile\ndel builtins.profile\ny").result == 5


WRONG = [
    ("%mprun -f nothere 1", "could not find function 'nothere'"),
    ("%mprun -f 1/0 1", "could not find function '1/0' (ZeroDivisionError: division by zero)"),
    ("%mprun -f len len([])", "has no Python code to follow"),
    ("%mprun 1 + 1", "name a function with -f"),
    ("%mprun", "there is no code to run"),
    ("%mprun -x 1", "no option -x; there are -f/--function"),
    ("%mprun -T /nowhere/at/all.txt -f f f()", "/nowhere/at/all.txt"),
    ("%mprun --backend rss -f f f()", "there is no backend 'rss'"),
    ("%memcells", "say on, off, show, clear, html or save"),
    ("%memcells on now", "'now' is no option of it"),
    ("%memcells html", "name a file"),
    ("%memcells show", "nothing was measured yet"),
]


@pytest.mark.parametrize(("cell", "sentence"), WRONG, ids=[cell for cell, _ in WRONG])
def test_bad_use_is_one_line_and_runs_nothing(run, cell, sentence):  # noqa: F811
    run("def f():\n    raise AssertionError")
    error = run(cell).error_in_exec
    assert isinstance(error, ShellUsageError)
    assert sentence in str(error)


def test_what_the_code_raises_passes_and_what_was_seen_is_shown(run):  # noqa: F811
    run("def fails():\n    kept = 1\n    return 1 / 0")
    done = run("%mprun -f fails fails()")
    assert isinstance(done.error_in_exec, ZeroDivisionError)
    assert "kept = 1" in done.out
    assert "ZeroDivisionError ended what was measured" in done.out
    files = []
    step = done.error_in_exec.__traceback__
    while step is not None:
        files.append(step.tb_frame.f_code.co_filename)
        step = step.tb_next
    # The magic's own frames are marked to be hidden; below them there is only the user's.
    assert not files[-2].endswith("measure_magics.py")


# -- await


@pytest.fixture(scope="module")
def loop(one_shell):  # noqa: F811 - the fixture
    """The shell's event loop, which it makes at the first await and keeps."""
    one_shell.run_cell("import asyncio\nawait asyncio.sleep(0)")
    yield
    from IPython.core import async_helpers

    async_helpers._asyncio_event_loop.close()
    async_helpers._asyncio_event_loop = None


@pytest.mark.usefixtures("loop")
def test_a_cell_that_awaits_is_measured_in_its_own_loop(run):  # noqa: F811
    run(
        "import asyncio\nasync def work():\n    await asyncio.sleep(0)\n    return asyncio.get_running_loop()"
    )
    done = run(
        "%%memit -o loop = await work()\nassert asyncio.get_running_loop() is loop\nmore = await work()"
    )
    assert done.success, done.error_in_exec
    assert done.result.repeat == 1
    assert done.out.startswith("peak memory: ")
    assert run("m = %memit -oq -r 3 await work()\nlen(m.peaks_bytes)").result == 3
    out = run("%mprun -f work await work()").out
    assert re.search(r"^ +3 .* 1 .* await asyncio.sleep\(0\)$", out, re.MULTILINE)
    assert isinstance(run("%memit await fails()").error_in_exec, NameError)


def test_an_await_where_nothing_can_wait_is_told(run):  # noqa: F811
    run("import asyncio\ndef inside():\n    %memit await asyncio.sleep(0)")
    error = run("inside()").error_in_exec
    assert isinstance(error, ShellUsageError)
    assert "works where the magic stands in the cell itself" in str(error)


def test_only_calls_of_ours_that_await_are_rewritten(shell):  # noqa: F811
    transform = next(one for one in shell.input_transformers_post if isinstance(one, Awaiting))
    same = [
        "x = 1\n",
        "get_ipython().run_line_magic('memit', 'f()')\n",
        "get_ipython().run_line_magic('time', 'await f()')\n",
        "get_ipython().run_line_magic('memit', '\"await f()\"')\n",
        "get_ipython().run_cell_magic('memit', '', 'async def f():\\n    await g()\\n')\n",
        "def f():\n    get_ipython().run_line_magic('memit', 'await f()')\n",
        "get_ipython().run_line_magic('memit', 'await (')\n",
        "not python await get_ipython().run_line_magic('memit'\n",
    ]
    for cell in same:
        assert "".join(transform(cell.splitlines(keepends=True))) == cell
    rewritten = "".join(
        transform(["é = get_ipython().run_line_magic('memlab_mprun', '-r -f f await f()')\n"])
    )
    assert rewritten.startswith("é = await get_ipython()")
    assert rewritten.endswith(".awaited('memlab_mprun', '-r -f f await f()')\n")


# -- a real kernel

CELLS = """
%load_ext memlab
import asyncio, memlab
class Thing:
    def method(self):
        return bytearray(3_000_000)
def generate():
    yield bytearray(3_000_000)
async def work():
    block = bytearray(30_000_000)
    await asyncio.sleep(0.01)
    return len(block)
async def produce():
    yield await work()
###
%mprun -f Thing.method -f generate Thing().method(); list(generate())
###
%mprun -f work -f produce [n async for n in produce()]
###
%%mprun
size = await work()
###
%memit await work()
###
@memlab.profile
async def decorated():
    return await work()
await decorated()
###
%memcells on
###
kept = [bytearray(1000) for _ in range(1000)]
###
%memcells show
###
%memit -r 0 1
"""


@pytest.mark.notebook
def test_all_of_it_in_a_real_kernel():
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS.split("###")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python"}
    nbclient.NotebookClient(notebook, timeout=100, allow_errors=True).execute()
    shown = []
    for cell in notebook.cells:
        text = io.StringIO()
        for output in cell.outputs:
            assert output.output_type != "error", output
            text.write(output.get("text") or output.data.get("text/plain", ""))
            if output.output_type == "display_data" and "Line #" in output.data["text/plain"]:
                assert "<pre>" in output.data["text/html"]
        shown.append(text.getvalue())
    for place, words in {
        1: ("Function: Thing.method", "Function: generate", "Cell In[1]"),
        2: ("Function: work", "Function: produce", "await asyncio.sleep(0.01)"),
        3: ("size = await work()",),
        4: ("peak memory: ",),
        5: ("Function: decorated", "30000000"),
        7: ("",),
        8: ("kept: list", "left behind"),
        9: ("UsageError: %memit: -r must be 1 or more",),
    }.items():
        for word in words:
            assert word in shown[place], (place, shown[place])
    assert shown[0] == ""
