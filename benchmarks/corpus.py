"""Score the leak finder on real leaks of real packages: recall, culprit named, false alarms, seconds.

    python benchmarks/corpus.py [--cases DIR] [--work DIR] [--budget 30] [--only NAME] [--json OUT]

Each case of ``data/leaks`` names a package at a version that leaks and one that does not. Each version is
installed into an environment of its own in the user's cache folder (kept for the next run) with the Python
that the case asks for, found on the PATH or among pyenv's; a case whose Python is missing is left out.
The hunt is ``memlab leaks``. A culprit counts as named when the first suspect's type, line or holder is one
that the case lists; for a native leak, its line.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Run:
    """One hunt: a case, the side of it, and what came out."""

    case: str
    kind: str
    side: str
    verdict: str
    named: bool | None
    seconds: float
    first: str

    @property
    def leaks(self) -> bool:
        """Whether this side is the one that leaks."""
        return self.side == "bad"

    @property
    def alarm(self) -> bool:
        """Whether the hunt called it a leak."""
        return self.verdict in ("leak", "native leak")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, default=ROOT / "data" / "leaks")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--work", type=Path, default=cache / "memlab" / "corpus")
    parser.add_argument("--budget", type=float, default=30.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs = []
    for path in sorted(options.cases.glob("*/*/case.toml")):
        name = f"{path.parent.parent.name}/{path.parent.name}"
        if options.only not in name:
            continue
        case = tomllib.loads(path.read_text(encoding="utf-8"))
        python = find_python(case["python"])
        if python is None:
            print(f"{name:36} left out: no Python {case['python']} found")
            continue
        for side, requirements in sides(case):
            own = environment(options.work / f"{name}-{side}".replace("/", "-"), python, requirements)
            run = _hunt(name, case, side, path.parent, own, options.budget)
            runs.append(run)
            named = {True: "named", False: "NOT NAMED", None: ""}[run.named]
            print(
                f"{name:36} {side:4} {run.verdict:13} {named:10} {run.seconds:5.1f} s  {run.first}",
                flush=True,
            )
    _summary(runs)
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(r) for r in runs], indent=1), encoding="utf-8")
    return 0


def sides(case: dict) -> list[tuple[str, list[str]]]:
    """Return each side with what it requires: the bad and the good version, or the one of a control."""
    if "bad" in case:
        return [("bad", case["bad"]), ("good", case["good"])]
    return [("ok", case.get("good") or case.get("requires", []))]


def find_python(version: str) -> str | None:
    """Return an interpreter of this version that runs, or None."""
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for python in (shutil.which(f"python{version}"), *map(str, pyenv)):
        if python and subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0:
            return python
    return None


def environment(folder: Path, python: str, requirements: list[str]) -> Path:
    """Return the interpreter of an environment with memlab's own needs and the case's packages."""
    found = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", folder], check=True)
        own = ["numpy", "psutil", "jinja2"]
        names = [r for r in own if not any(q.lower().startswith(r) for q in requirements)]
        subprocess.run([found, "-m", "pip", "install", "-q", *names, *requirements], check=True)
        done.touch()
    return found


def _hunt(name: str, case: dict, side: str, folder: Path, python: Path, budget: float) -> Run:  # noqa: PLR0917
    setup = (
        ["--setup", "setup"] if "def setup(" in (folder / "workload.py").read_text(encoding="utf-8") else []
    )
    began = time.monotonic()
    done = subprocess.run(
        [python, "-W", "ignore", "-m", "memlab", "leaks", "workload.py:step", *setup,
         "--budget", str(budget), "--json", "--quiet"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - began
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        return Run(name, _kind(name), side, f"failed ({done.returncode})", None, seconds, done.stderr[-200:])
    first = next(iter(report["suspects"]), None)
    named = _named(case, first, folder) if side == "bad" else None
    return Run(name, _kind(name), side, report["verdict"], named, seconds, _words(first))


def _kind(name: str) -> str:
    return name.partition("/")[0]


def _named(case: dict, suspect: dict | None, folder: Path) -> bool:
    if suspect is None:
        return False
    site = suspect["site"] or {"frames": []}
    lines = [f for f in site["frames"] if f["file"].endswith("workload.py")]
    if "culprit_lines" in case:
        source = (folder / "workload.py").read_text(encoding="utf-8").splitlines()
        return any(fragment in source[f["line"] - 1] for f in lines for fragment in case["culprit_lines"])
    types = {suspect["type_name"], *(t["type_name"] for t in suspect["types"][:3])}
    if types & set(case["culprit_types"]) - {"builtins.dict", "builtins.tuple", "builtins.list"}:
        return True
    holder = " ".join(link["via"] + link["label"] for link in (suspect["chain"] or {"links": []})["links"])
    return any(len(word) > 4 and word in holder for word in case["holder"].replace("(", " ").split("."))


def _words(suspect: dict | None) -> str:
    if suspect is None:
        return ""
    container = suspect["container"] or {"name": ""}
    return f"{suspect['type_name']} <- {container['name']}"


def _summary(runs: list[Run]) -> None:
    print()
    for kind in ("py", "native"):
        bad = [r for r in runs if r.leaks and r.kind == kind]
        if bad:
            found = sum(r.alarm for r in bad)
            named = sum(bool(r.named) for r in bad)
            print(f"{kind:8} recall {found}/{len(bad)}, culprit named first {named}/{len(bad)}")
    healthy = [r for r in runs if not r.leaks]
    alarms = [r.case for r in healthy if r.alarm]
    unsure = sum(r.verdict not in ("no leak", "leak", "native leak") for r in healthy)
    print(f"healthy  false alarms {len(alarms)}/{len(healthy)} {alarms or ''}, undecided {unsure}")
    if runs:
        print(f"median   {statistics.median(r.seconds for r in runs):.1f} s a hunt")


if __name__ == "__main__":
    sys.exit(main())
