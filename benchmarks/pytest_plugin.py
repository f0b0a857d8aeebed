"""What the pytest plugin costs and changes: a published package's own tests, with and without it.

Fetches the source of a package that nobody here wrote into a temporary folder (pip, no dependencies), and
runs its tests three ways, in turn: the plugin blocked (-p no:memlab), there but not asked (its default), and
with --memlab. Prints median processor time of the whole run and of the tests alone, and whether any outcome
differed.

    python benchmarks/pytest_plugin.py [--package click==8.1.8] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

WAYS = {"blocked": ("-p", "no:memlab"), "shy": (), "--memlab": ("--memlab",)}


def fetch(package: str, folder: Path) -> Path:
    """Return the folder of the unpacked source of a package."""
    name = package.partition("==")[0]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", name, "-q"]
    command += ["-d", str(folder), package]
    subprocess.run(command, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def run(source: Path, options: tuple[str, ...], sheet: Path) -> tuple[float, dict[str, str]]:
    """Return the processor seconds of one run of the tests, and each test's outcome."""
    own = source / "src" if (source / "src").is_dir() else source
    environment = {**os.environ, "PYTHONPATH": str(own), "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-W", "default", f"--junitxml={sheet}"]
    for other in ("randomly", "asyncio", "xdist", "cacheprovider"):
        command += ["-p", f"no:{other}"]
    command += [*options, "tests"]
    before = os.times()
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    after = os.times()
    if not sheet.exists():
        raise SystemExit(done.stdout + done.stderr)
    outcomes = {}
    for case in ET.parse(sheet).iter("testcase"):
        kinds = sorted(child.tag for child in case if child.tag in ("failure", "error", "skipped"))
        outcomes[f"{case.get('classname')}::{case.get('name')}"] = ",".join(kinds) or "passed"
    sheet.unlink()
    cpu = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return cpu, outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--package", default="click==8.1.8")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        source = fetch(args.package, Path(name))
        cost: dict[str, list[float]] = {way: [] for way in WAYS}
        seen: dict[str, dict[str, str]] = {}
        run(source, (), Path(name) / "sheet.xml")  # compiles
        for _ in range(args.rounds):
            for way, options in WAYS.items():
                seconds, outcomes = run(source, options, Path(name) / "sheet.xml")
                cost[way].append(seconds)
                seen[way] = outcomes
    base = statistics.median(cost["blocked"])
    plain = seen["blocked"]
    counts = {kind: list(plain.values()).count(kind) for kind in sorted(set(plain.values()))}
    print(f"{args.package}: {len(plain)} tests, {counts}, {args.rounds} rounds, processor seconds, medians")
    print(f"{'plugin':10} {'seconds':>8} {'cost':>8}  outcomes that differ")
    for way, seconds in cost.items():
        middle = statistics.median(seconds)
        differ = sum(plain.get(test) != seen[way].get(test) for test in plain.keys() | seen[way].keys())
        print(f"{way:10} {middle:8.3f} {(middle / base - 1) * 100:+7.1f} %  {differ}")
    print("load:", " ".join(f"{value:.1f}" for value in os.getloadavg()))


if __name__ == "__main__":
    main()
