"""memory_profiler's answers and memlab's on the same cells, each in a fresh interactive shell.

Figures are the increment that ``%memit`` prints, in MiB: median, and how many of the rounds lie within 5 %
of the truth. Below them, yes or no for what one of the two cannot do. Run it alone, on Python 3.11 (before
3.12 memory_profiler's magics load without help): ``python benchmarks/same_cells.py [--rounds N]``.
"""

import argparse
import json
import statistics
import subprocess
import sys

MIB = 1024 * 1024
SETUP = """
import mmap, time
import numpy as np
def mapped(mib, seconds=0.0):
    block = mmap.mmap(-1, mib << 20)
    for at in range(0, mib << 20, mmap.PAGESIZE):
        block[at] = 1
    time.sleep(seconds)
    return block
"""
CELLS = [
    ("bytearray(50_000_000)", 47.7),
    ("mapped(50).close()", 50.0),
    ("mapped(32, 0.088).close()", 32.0),
    ("mapped(50, 0.5).close()", 50.0),
    ("np.ones(30_000_000).sum()", 228.9),
    ("[n * n for n in range(2_000_000)]", None),
    ("kept = mapped(40, 0.2)", 40.0),
]
CHILD = """
import contextlib, io, json, sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
tool, what = sys.argv[1], sys.argv[2]
shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
shell.run_line_magic("load_ext", tool)
"""
MEASURE = """
shell.run_cell(SETUP)
shell.run_cell("m = %memit -o -q " + what)
m = shell.user_ns["m"]
print(json.dumps(max(m.mem_usage) - m.baseline))
"""
QUESTIONS = {
    "a cell that awaits": "%%memit -q\nimport asyncio\nawait asyncio.sleep(0)\nanswer = True",
    "%mprun of a function that a cell defined": (
        "def work():\n    return 1\np = get_ipython().run_line_magic('mprun', '-r -f work work()')\n"
        "t = getattr(p, 'occurrences', None)\n"
        "answer = bool(t.sum()) if t is not None else bool(list(p.code_map.items()))"
    ),
    "the increments of a function's lines add up to what it left": (
        "import io, os, sys, textwrap, tempfile\n"
        "name = os.path.join(tempfile.mkdtemp(), 'm.py')\n"
        "open(name, 'w').write('import mmap\\ndef work():\\n    for n in range(3):\\n"
        "        b = mmap.mmap(-1, 20 << 20)\\n        b[::4096] = bytes(5120)\\n        b.close()\\n')\n"
        "space = {}\nexec(compile(open(name).read(), name, 'exec'), space)\nwork = space['work']\n"
        "p = get_ipython().run_line_magic('mprun', '-r -f work work()')\n"
        "t = getattr(p, 'increment_bytes', None)\n"
        "if t is not None: total = t.sum() / 2**20\n"
        "else: total = sum(v[0] for m in p.code_map.values() for v in m.values())\n"
        "answer = bool(abs(total) < 5)"
    ),
    "memory_usage(f) calls a quick f once": (
        "calls = []\nimport {tool}\n{tool}.memory_usage((calls.append, (1,)))\nanswer = len(calls) == 1"
    ),
    "the caller's child lives on when f raises": (
        "import subprocess, sys, {tool}\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)\n"
        "def f():\n    raise ValueError\n"
        "try:\n    {tool}.memory_usage(f)\nexcept ValueError:\n    pass\n"
        "import time; time.sleep(0.2)\nanswer = child.poll() is None\nchild.kill()"
    ),
}
ASK = """
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    shell.run_cell("answer = False")
    shell.run_cell(what)
print(json.dumps(bool(shell.user_ns.get("answer"))))
"""
TOOLS = ("memory_profiler", "memlab")


def child(code, tool, what):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"SETUP = {SETUP!r}\n{CHILD}{code}", tool, what],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if done.returncode == 0 and lines else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"Python {sys.version.split()[0]}, {rounds} rounds\n")
    print("| cell: `%memit ...` | truth | memory_profiler | memlab |")
    print("| --- | --- | --- | --- |")
    for cell, truth in CELLS:
        found = {tool: [] for tool in TOOLS}
        for _ in range(rounds):
            for tool in TOOLS:
                found[tool].append(child(MEASURE, tool, cell))
        print(f"| `{cell}` | {truth or ''} | " + " | ".join(_cell(found[t], truth) for t in TOOLS) + " |")
    print("\n| | memory_profiler | memlab |\n| --- | --- | --- |")
    for question, code in QUESTIONS.items():
        answers = [child(ASK, tool, code.replace("{tool}", tool)) for tool in TOOLS]
        print(f"| {question} | " + " | ".join("yes" if answer else "no" for answer in answers) + " |")


def _cell(values, truth):
    known = [value for value in values if value is not None]
    if not known:
        return "cannot be loaded"
    shown = f"{statistics.median(known):.1f}"
    if truth is None:
        return shown
    hits = sum(abs(value - truth) <= 0.05 * truth for value in known)
    return f"{shown} ({hits} of {len(values)})"


if __name__ == "__main__":
    main()
