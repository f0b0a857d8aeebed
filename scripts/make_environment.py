"""Make environment.yml from pyproject.toml: the run-time requirements and those of ``memlab[notebook]``.

conda-forge has other names for a few packages and knows no environment markers, so a requirement that
applies only to some Pythons is listed for all. ``--check`` writes nothing and fails when the file is stale;
tests/unit/test_project.py does the same.
"""
# ruff: noqa: INP001, T201 - a script, which prints

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "environment.yml"
CONDA_NAMES = {"memory-profiler": "memory_profiler"}
HEADER = """\
# Made by `make environment` from pyproject.toml: edit that. No conda is run in this project's CI; a test
# holds this file in step with pyproject.toml, and the names are conda-forge's.
"""


def environment_yml(pyproject: str) -> str:
    """Return the text of environment.yml for the text of pyproject.toml."""
    project = tomllib.loads(pyproject)["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["notebook"]]
    packages = sorted(_conda(Requirement(line)) for line in wanted)
    lines = [f"python{project['requires-python']}", "pip", *packages]
    listed = "".join(f'  - "{line}"\n' if set(line) & set("<>=") else f"  - {line}\n" for line in lines)
    channels = "channels:\n  - conda-forge\n  - nodefaults\n"
    return f"{HEADER}name: {project['name']}\n{channels}dependencies:\n{listed}  - pip:\n      - -e .\n"


def _conda(requirement: Requirement) -> str:
    return f"{CONDA_NAMES.get(requirement.name, requirement.name)}{requirement.specifier}"


def main(arguments: list[str]) -> int:
    """Write the file, or with ``--check`` compare it."""
    text = environment_yml((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if arguments == ["--check"]:
        stale = not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text
        if stale:
            print("environment.yml is stale: run `make environment`", file=sys.stderr)
        return int(stale)
    TARGET.write_text(text, encoding="utf-8", newline="\n")
    print(f"wrote {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
