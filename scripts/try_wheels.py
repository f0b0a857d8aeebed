"""Build memlab's wheels, and try each in an empty environment of each Python: install, use, weigh, remove.

    .venv/bin/python scripts/try_wheels.py 3.11 3.12 3.13

Two wheels are built from a copy of what git tracks: one with the C extensions of the limited API (one for all
Pythons from 3.11 on; those of one version add the sampled tracer), and one where no compiler can be found,
which is pure Python. For each Python and wheel the script prints
what is installed on disk, what `import memlab` costs beside a bare interpreter, that a hunt finds a known
leak with the engine it should have, and what is left after `pip uninstall`: nothing. 1 when it is otherwise.
"""
# ruff: noqa: INP001, T201, S603 - a script, which prints and runs the commands it is for

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_IMPORT_MS = 60.0
ROUNDS = 15

USE = """
import json, sys
import memlab
from memlab.collectors import heap_engine
kept = []
report = memlab.find_leaks(lambda: kept.append([bytes(500)]), budget_s=2, iterations=60)
graph = memlab.heap()
page = report.to_html()
print(json.dumps([str(report.verdict), graph.engine, len(page), len(graph.size)]))
"""

COST = """
import json, subprocess, sys, time
def cpu(code):
    import resource
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000
pairs = [(cpu("pass"), cpu("import memlab")) for _ in range(int(sys.argv[1]))]
print(json.dumps(pairs))
"""


def call(*command: object, **options: object) -> str:
    """Run a command to its end and return what it prints; what it says is shown if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.stdout


def build(folder: Path, *, compiled: bool) -> Path:
    """Build one wheel of what git tracks."""
    source, target = folder / f"source-{compiled}", folder / f"wheels-{compiled}"
    for name in call("git", "ls-files", "-z", cwd=ROOT).split("\0"):
        if name and (ROOT / name).is_file() and name.split("/")[0] in {"memlab", *ROOT_FILES}:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    environment = {**os.environ, "MEMLAB_STABLE_ABI": "1"}
    if not compiled:
        environment["CC"] = str(folder / "no-compiler-here")
    call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", target, source, env=environment)
    return next(target.glob("*.whl"))


ROOT_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in")


def found_python(version: str) -> str | None:
    """Return the interpreter of a version, as scripts/test_all.sh finds it."""
    names = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names += [str(path / "bin" / "python") for path in sorted(pyenv.glob(f"{version}.*"))]
    for name in filter(None, names):
        told = subprocess.run(
            [name, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if told.stdout.strip() == version:
            return name
    return None


def files_in(folder: Path) -> set[str]:
    """Return every file below a folder but the caches of compiled code."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def try_wheel(python: str, wheel: Path, folder: Path, engine: str) -> tuple[str, list[str]]:
    """Install, use and remove one wheel; return a line of figures, and what is not as promised."""
    call(python, "-m", "venv", folder)
    inside = folder / "bin" / "python"
    before = files_in(folder)
    call(inside, "-m", "pip", "install", "-q", wheel)
    site = Path(call(inside, "-c", "import memlab, os; print(os.path.dirname(memlab.__file__))").strip())
    own = sum(path.stat().st_size for path in site.rglob("*") if path.is_file() and path.suffix != ".pyc")
    whole = sum((folder / name).stat().st_size for name in files_in(folder) - before)
    outside = folder.parent / "elsewhere"
    outside.mkdir(exist_ok=True)
    verdict, used, page, objects = json.loads(call(inside, "-c", USE, cwd=outside))
    told = call(inside.with_name("memlab"), "--version", cwd=outside).strip()
    pairs = json.loads(call(inside, "-c", COST, ROUNDS, cwd=outside))
    bare, full = (statistics.median(pair[n] for pair in pairs) for n in (0, 1))
    names = [line.partition("==")[0] for line in call(inside, "-m", "pip", "freeze").split() if "==" in line]
    call(inside, "-m", "pip", "uninstall", "-q", "-y", "memlab", *names)
    left = sorted(
        name for name in files_in(folder) - before if "/memlab" in name or name.startswith("bin/memlab")
    )
    left += sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("memlab*")
        if "dist-info" not in str(path)
    )
    wrong = [
        f"{what}: {found}"
        for what, found, good in (
            ("verdict", verdict, verdict.endswith("leak") and "no" not in verdict),
            ("heap engine", used, used == engine),
            ("import memlab, ms", full - bare, full - bare < MOST_IMPORT_MS),
            ("left behind", left, not left),
            ("left where it was used", list(outside.iterdir()), not list(outside.iterdir())),
        )
        if not good
    ]
    figures = (
        told.split()[-1],
        f"engine {used}, {objects:,} objects",
        f"wheel {wheel.stat().st_size / 1024:.0f} KiB",
        f"memlab {own / 2**20:.1f} MiB, with its three dependencies {whole / 2**20:.0f} MiB",
        f"page {page / 1024:.0f} KiB",
        f"import {full - bare:+.0f} ms over {bare:.0f}",
        f"left behind: {left or 'nothing'}",
    )
    return "; ".join(figures), wrong


def main(versions: list[str]) -> int:
    """Try every wheel on every version that is there."""
    failed = False
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        wheels = {"native": build(folder, compiled=True), "python": build(folder, compiled=False)}
        for kind, wheel in wheels.items():
            print(f"{kind}: {wheel.name}")
        for version in versions or ["3.11", "3.12", "3.13"]:
            python = found_python(version)
            if python is None:
                print(f"{version}: no such Python here")
                continue
            for kind, wheel in wheels.items():
                line, wrong = try_wheel(python, wheel, folder / f"{version}-{kind}", kind)
                print(f"{version} {kind}: {line}", flush=True)
                for what in wrong:
                    print(f"  NOT AS PROMISED: {what}")
                failed = failed or bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
