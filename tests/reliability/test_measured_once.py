"""A program that is measured runs exactly once, under every face, and is the same as without."""

import asyncio
import io
import os
import subprocess
import sys
import textwrap

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from unit.shells import one_shell, shell  # noqa: F401 - fixtures

from memlab.lab.line_profile import LineProfiler, profile
from memlab.lab.memory_usage import memory_usage
from tests.reliability.test_program_comes_first import blocks, outcome

LONG = bool(os.environ.get("MEMLAB_LONG"))
PROGRAMS = 300 if LONG else 40
COMMANDS = 20 if LONG else 3


def under_profiler(program):
    with LineProfiler(program):
        program()


def line_by_line(program):
    """Follow the program's own lines, not only those of the call."""
    with LineProfiler(*(cell.cell_contents for cell in program.__closure__ if _is_code(cell.cell_contents))):
        program()


def _is_code(thing):
    return type(thing).__name__ == "code"


def decorated(program):
    profile(program, stream=io.StringIO())()


def as_coroutine(program):
    async def main():
        program()

    asyncio.run(profile(main, stream=io.StringIO())())


def by_magic(ip, name, options):
    def measured(program):
        ip.user_ns["program"] = program
        try:
            ip.run_line_magic(name, f"{options} program()")
        finally:
            del ip.user_ns["program"]

    return measured


def faces(ip):
    return {
        "memory_usage": memory_usage,
        "memory_usage, greatest": lambda program: memory_usage(program, max_usage=True),
        "LineProfiler": under_profiler,
        "LineProfiler of the program": line_by_line,
        "@profile": decorated,
        "@profile of a coroutine": as_coroutine,
        "%memit": by_magic(ip, "memlab_memit", "-q -r 1"),
        "%mprun": by_magic(ip, "memlab_mprun", "-q -f program"),
    }


@settings(max_examples=PROGRAMS, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=blocks())
def test_a_program_is_the_same_under_every_face(shell, lines):  # noqa: F811 - the fixture
    source = "\n".join(lines)
    bare = outcome(source, lambda program: program())
    assert bare[-1] == 1
    for name, measured in faces(shell).items():
        assert outcome(source, measured) == bare, name


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_the_exception_object_and_the_children_are_untouched(shell, kind):  # noqa: F811 - the fixture
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        for name, measured in faces(shell).items():
            error, calls = kind("mine"), []

            def program(error=error, calls=calls):
                calls.append(1)
                raise error

            if name == "LineProfiler of the program":
                continue
            if name == "@profile of a coroutine" and kind in (KeyboardInterrupt, SystemExit):
                continue  # asyncio itself has a way of its own with these
            with pytest.raises(kind) as caught:
                measured(program)
            assert caught.value is error, name
            assert (error.__context__, error.__cause__, calls) == (None, None, [1]), name
            assert getattr(error, "__notes__", None) is None
            assert psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE
    finally:
        child.kill()
        child.wait()


SCRIPT = """
import random, sys
random.seed(7)
class Stop(BaseException): pass
def twice(n): return n * 2
def counted(n):
    try:
        for i in range(int(abs(n)) % 20): yield i
    finally: print('closed')
async def later(n): return n + 1
def run(coroutine):
    try: coroutine.send(None)
    except StopIteration as end: return end.value
profile = globals().get("profile") or getattr(__builtins__, "profile", None) or (lambda f: f)
@profile
def program(a=1, b=2, c=3):
{body}
    return a
print("begins", sys.argv[1:])
print(program())
print(random.random())
sys.exit(len(sys.argv))
"""


@settings(max_examples=COMMANDS, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(lines=blocks())
def test_a_script_is_the_same_under_memlab_profile(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("script")
    script = folder / "script.py"
    script.write_text(SCRIPT.format(body=textwrap.indent("\n".join(lines), "    ")), encoding="utf-8")
    bare = _run([str(script), "x", "-y"], folder)
    tables = folder / "tables.txt"
    under = _run(["-m", "memlab", "profile", "--quiet", "-o", str(tables), str(script), "x", "-y"], folder)
    assert under == bare
    assert "def program(a=1, b=2, c=3):" in tables.read_text(encoding="utf-8")


def _run(arguments, folder):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr
