"""A baseline: what a run is held against, as JSON that people review and merge in git.

One file holds a part for each class of machine and interpreter. A part lists its metrics by name, one line
for the figure and one each for the samples, the reference loop's times and the processes; numbers have six
digits. Names are sorted, so that a change of one metric is a change of its lines. Snapshots, which a
regression's cause is told from, are capture files in a folder beside it, named by their content: the JSON
names the one it belongs to, and is written after it, so that whatever ends a writer leaves the old pair or
the new one.

An update reads, merges and replaces under a lock. What is not in the update stays: other metrics, other
classes. Reading trusts nothing: sizes, depth and types are checked, and the records check themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memlab._base.atomic import write_text
from memlab._base.locks import only_writer
from memlab._base.machine import same_interpreter
from memlab._base.safety import clean
from memlab._base.units import format_bytes
from memlab.errors import CaptureError, UsageError
from memlab.records import codec
from memlab.records.benchmark import BenchmarkResult, BenchmarkTable
from memlab.records.snapshot import Snapshot
from memlab.store.capture_file import load, save

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

__all__ = ["FORMAT", "Baseline"]

FORMAT: Final = "memlab baseline"
VERSION: Final = 1
_MOST_BYTES = 64 * 1024 * 1024
_MOST_METRICS = 100_000
_DIGITS = 6
_COLUMNS = ("samples", "reference", "process")
_NAME = re.compile(r"[0-9a-f]{16}\.memlab")
_FIELDS = ("value", "unit", "better", "exact", "loop", "allowed", "least", "place", "note", *_COLUMNS)


class Baseline:
    """A baseline file and the folder of its snapshots. The file need not be there yet.

    Args:
        path: the JSON file.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     baseline = Baseline(pathlib.Path(folder, "baseline.json"))
        ...     peak = BenchmarkResult("load:peak_bytes", 1000, "bytes", exact=True)
        ...     baseline.update(BenchmarkTable((peak,), machine="CPython 3.11, linux x86_64, 2 cores"))
        ...     baseline.read("CPython 3.11, linux x86_64, 2 cores")["load:peak_bytes"].value
        1000.0
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def folder(self) -> Path:
        """Where the snapshots lie."""
        return self.path.with_name(f"{self.path.stem}-snapshots")

    def machines(self) -> tuple[str, ...]:
        """Return the classes that the file has a part for, sorted; none when there is no file.

        Raises:
            CaptureError: when the file cannot be read as a baseline.
        """
        return tuple(sorted(self._document()["machines"]))

    def read(self, machine: str) -> BenchmarkTable | None:
        """Return the part for a class of machine; else one of the same interpreter; else None.

        Raises:
            CaptureError: when the file cannot be read as a baseline.
        """
        machines = self._document()["machines"]
        near = [machine, *sorted(name for name in machines if same_interpreter(name, machine))]
        name = next((one for one in near if one in machines), None)
        return self._table(name, machines[name]) if name is not None else None

    def snapshot(self, machine: str, benchmark: str) -> Snapshot | None:
        """Return what was alive near a benchmark's peak; None when there is no such file, or it is damaged.

        Raises:
            CaptureError: when the baseline itself cannot be read.
        """
        part = self._document()["machines"].get(machine, {})
        name = part.get("snapshots", {}).get(benchmark)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return None
        with contextlib.suppress(CaptureError):
            found = load(self.folder / name)
            return found if isinstance(found, Snapshot) else None
        return None

    def update(self, table: BenchmarkTable, *, replace: bool = False) -> None:
        """Put a run's results in the place of those of the same names, for the run's class of machine.

        Args:
            table: the run; results without a value are left out.
            replace: drop what the baseline has of this class and the run has not.

        Raises:
            UsageError: when a file cannot be written.
            CaptureError: when the file that is there is no baseline: it is left as it is.
        """
        snapshots = {name: self._keep(taken) for name, taken in table.snapshots.items()}
        with only_writer(self.path):
            document = self._document()
            part = {} if replace else document["machines"].get(table.machine, {})
            metrics = dict(part.get("metrics", {}))
            metrics.update((r.name, _entry(r)) for r in table if r.value is not None and r.gated)
            document["machines"][table.machine] = {
                "label": table.label,
                "environment": dict(table.environment),
                "metrics": metrics,
                "snapshots": {**part.get("snapshots", {}), **snapshots},
            }
            write_text(self.path, _text(document))
            self._tidy(document)

    # -- snapshots

    def _keep(self, snapshot: Snapshot) -> str:
        """Write a snapshot under a name made of its content, if it is not there already."""
        encoded = codec.encode(snapshot)
        digest = hashlib.sha256(json.dumps(encoded.tree, sort_keys=True).encode())
        for key in sorted(encoded.arrays):
            digest.update(key.encode() + encoded.arrays[key].tobytes())
        name = f"{digest.hexdigest()[:16]}.memlab"
        if not (self.folder / name).is_file():
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise UsageError(f"cannot make {self.folder.name}: {error.strerror}") from None
            save(snapshot, self.folder / name)
        return name

    def _tidy(self, document: Mapping[str, Any]) -> None:
        """Remove snapshots that no part names any more, except young ones: their writer may still wait."""
        parts = document["machines"].values()
        named = {name for part in parts for name in part.get("snapshots", {}).values()}
        with contextlib.suppress(OSError):
            now = self.path.stat().st_mtime
            for file in self.folder.iterdir():
                if _NAME.fullmatch(file.name) and file.name not in named:
                    with contextlib.suppress(OSError):
                        if now - file.stat().st_mtime > 3600:  # noqa: PLR2004 - an hour
                            file.unlink()

    # -- reading

    def _document(self) -> dict[str, Any]:
        name = clean(self.path.name)
        try:
            size = self.path.stat().st_size
            if size > _MOST_BYTES:
                raise CaptureError(
                    f"{name} holds {format_bytes(size)}, far too much for a baseline: name another"
                )
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {"format": FORMAT, "version": VERSION, "machines": {}}
        except (OSError, UnicodeDecodeError) as error:
            said = getattr(error, "strerror", None) or "it is no text"
            raise CaptureError(
                f"{name} cannot be read ({said}): check the path and its permissions"
            ) from None
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise CaptureError(_no_baseline(name, "it is no JSON; a merge may have left its marks")) from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise CaptureError(_no_baseline(name, "its format is another"))
        version = document.get("version")
        if type(version) is not int or version > VERSION:
            raise CaptureError(f"{name} was written by a newer memlab: update memlab")
        machines = document.get("machines")
        if not isinstance(machines, dict) or not all(_is_part(part) for part in machines.values()):
            raise CaptureError(_no_baseline(name, "its parts are not of their form"))
        return document

    def _table(self, machine: str, part: Mapping[str, Any]) -> BenchmarkTable:
        name = clean(self.path.name)
        try:
            rows = tuple(_result(key, entry) for key, entry in part["metrics"].items())
            environment = {str(k): str(v) for k, v in part.get("environment", {}).items()}
            return BenchmarkTable(
                rows, machine=machine, label=str(part.get("label", "")), environment=environment
            )
        except (CaptureError, TypeError, ValueError, AttributeError) as error:
            raise CaptureError(_no_baseline(name, clean(str(error)))) from None


def _no_baseline(name: str, why: str) -> str:
    return f"{name} is no baseline of memlab's ({why}): mend it, or remove it to make a new one"


def _is_part(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and isinstance(part.get("metrics"), dict)
        and len(part["metrics"]) <= _MOST_METRICS
        and isinstance(part.get("snapshots", {}), dict)
    )


def _entry(result: BenchmarkResult) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for field in _FIELDS:
        value = getattr(result, field)
        if field == "process" and len(set(value)) <= 1:
            continue
        if value in (None, "", ()) or (field in ("exact", "least") and not value):
            continue
        entry[field] = _short(value)
    if result.exact:  # they are the same one and all, or nearly
        entry.pop("samples", None)
    return entry


def _short(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_short(item) for item in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else _rounded(value)
    return value


def _rounded(value: float) -> float:
    return round(value, _DIGITS - 1 - math.floor(math.log10(abs(value)))) if value else 0.0


def _result(name: str, entry: Mapping[str, Any]) -> BenchmarkResult:
    if not isinstance(entry, dict):
        raise CaptureError(f"{clean(name)} is no entry")
    known = {field: entry[field] for field in _FIELDS if field in entry}
    tree = {"name": name, "unit": "", "value": None, **known}
    tree.setdefault("samples", [known["value"]] if "value" in known else [])
    return codec.decode(BenchmarkResult, codec.Encoded(tree, {}))


def _text(document: Mapping[str, Any]) -> str:
    """Write the document: sorted, one line a field, a column of numbers on one line."""
    lines = ["{", f'  "format": {json.dumps(FORMAT)},', f'  "version": {VERSION},', '  "machines": {']
    machines = sorted(document["machines"].items())
    for number, (machine, part) in enumerate(machines, 1):
        lines.append(f"    {json.dumps(machine)}: {{")
        lines.append(f'      "label": {json.dumps(part.get("label", ""))},')
        lines.append(f'      "environment": {json.dumps(part.get("environment", {}), sort_keys=True)},')
        lines += _block("metrics", sorted(part["metrics"].items()), last=False)
        lines += _block("snapshots", sorted(part.get("snapshots", {}).items()), last=True)
        lines.append("    }" + ("," if number < len(machines) else ""))
    return "\n".join([*lines, "  }", "}"]) + "\n"


def _block(title: str, items: Iterable[tuple[str, Any]], *, last: bool) -> list[str]:
    lines = [f'      "{title}": {{']
    every = list(items)
    for number, (name, value) in enumerate(every, 1):
        comma = "," if number < len(every) else ""
        if not isinstance(value, dict):
            lines.append(f"        {json.dumps(name)}: {json.dumps(value)}{comma}")
            continue
        lines.append(f"        {json.dumps(name)}: {{")
        fields = [f"          {json.dumps(key)}: {json.dumps(item)}" for key, item in value.items()]
        lines += [f"{field}," for field in fields[:-1]] + fields[-1:]
        lines.append(f"        }}{comma}")
    return [*lines, "      }" + ("" if last else ",")]
