"""Strip notebooks to what belongs in git: no outputs, no counts, cell ids, and one kernelspec.

A notebook opened and saved in JupyterLab carries its outputs and the local kernel's name; this takes them
out again, in place. tests/unit/test_project.py checks the same properties.
"""
# ruff: noqa: INP001, T201 - a script, which prints

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def stripped(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the notebook without outputs, counts and local metadata; tags stay."""
    cells = []
    for number, cell in enumerate(notebook["cells"]):
        tags = cell.get("metadata", {}).get("tags")
        clean = {
            "cell_type": cell["cell_type"],
            "id": cell.get("id") or f"cell-{number:02d}",
            "metadata": {"tags": tags} if tags else {},
            "source": "".join(cell["source"]).splitlines(keepends=True),
        }
        if cell["cell_type"] == "code":
            clean |= {"execution_count": None, "outputs": []}
        cells.append(dict(sorted(clean.items())))
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def as_text(notebook: dict[str, Any]) -> str:
    """Return a notebook as JupyterLab writes it: one space of indent, a newline at the end."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main(paths: list[str]) -> int:
    """Strip each file in place and name those that changed."""
    for path in map(Path, paths):
        before = path.read_text(encoding="utf-8")
        after = as_text(stripped(json.loads(before)))
        if after != before:
            path.write_text(after, encoding="utf-8", newline="\n")
            print(f"stripped {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
