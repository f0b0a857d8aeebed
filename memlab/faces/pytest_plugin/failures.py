"""The folder of ``--memlab-report``: a page and a JSON file for each failure, named after the test."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from memlab._base.atomic import write_text
from memlab.errors import MemlabError
from memlab.faces.pytest_plugin.options import report_folder

if TYPE_CHECKING:
    import pytest

    from memlab.records._result import Result

__all__ = ["Failures", "file_stem"]

_LONGEST = 80


class Failures:
    """Writes what failed; does nothing when no folder was asked for."""

    def __init__(self, config: pytest.Config) -> None:
        self._folder = report_folder(config)
        self._shown = config.invocation_params.dir

    def write(self, item: pytest.Item, text: str, result: Result | None, what: str) -> tuple[str, ...]:
        """Write the page and the JSON file of one failure, and return their names as they are shown.

        What cannot be written is told in the same place: a full disk never hides a failed test.
        """
        if self._folder is None:
            return ()
        stem = self._folder / file_stem(item.nodeid, what)
        document = {
            "test": item.nodeid,
            "check": what,
            "message": text,
            "kind": result.kind if result is not None else None,
            "result": result.to_dict() if result is not None else None,
        }
        written = []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if result is not None:
                page = stem.with_name(f"{stem.name}.html")
                result.to_html(page)
                written.append(self._name(page))
            sheet = stem.with_name(f"{stem.name}.json")
            write_text(sheet, json.dumps(document, indent=1, allow_nan=False) + "\n")
            written.append(self._name(sheet))
        except (MemlabError, OSError, ValueError) as error:
            written.append(f"not written: {error}")
        return tuple(written)

    def _name(self, path: object) -> str:
        text = str(path)
        return text.removeprefix(f"{self._shown}/")


def file_stem(nodeid: str, what: str) -> str:
    """Return a file name for a test: readable, and its own.

    >>> file_stem("tests/test_a.py::test_b[x/y]", "leak")
    'tests-test_a.py-test_b-x-y-f85c6a-leak'
    """
    readable = re.sub(r"[^\w.]+", "-", nodeid, flags=re.ASCII).strip("-")
    own = hashlib.sha256(nodeid.encode("utf-8", "replace")).hexdigest()[:6]
    return f"{readable[-_LONGEST:].strip('-.')}-{own}-{what.replace(' ', '-')}"
