"""A line profile as the table that memory_profiler's users know, and one column more: the rise within it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.views import words
from memlab.views.layout import WIDTH, columns, fit, wrap

if TYPE_CHECKING:
    from memlab.records.line_profile import LineProfile

__all__ = ["line_headline", "line_tables", "line_text", "peak_sentence", "value_name"]

_MIB = 1024 * 1024
_ROW = "{0:>6} {1:>12} {2:>12}  {3:>10} {4:>12}   {5:<}"


def line_tables(profile: LineProfile, precision: int = 1, width: int | None = None) -> list[str]:
    """Return one table for each function, as lines; a ``width`` cuts the code on them.

    Nothing stands in the figures of a line that did not run, and in the rises where they are not known.
    """
    lines: list[str] = []
    for index, function in enumerate(profile.functions):
        title = _ROW.format("Line #", "Mem usage", "Increment", "Occurrences", "Rise", "Line Contents")
        lines += [*([""] if lines else []), f"Filename: {words.printable(function.file, 80)}"]
        if function.name != function.file:
            lines.append(f"Function: {words.printable(function.name, 200)}")
        lines += ["", title, "=" * len(title)]
        for row in profile.rows_of(index):
            count = int(profile.occurrences[row])
            ran = count > 0 or bool(profile.usage_bytes[row])
            rise = _mib(profile.rise_bytes[row], precision) if ran and profile.has_rise else ""
            text = _ROW.format(
                int(profile.line[row]),
                _mib(profile.usage_bytes[row], precision) if ran else "",
                _mib(profile.increment_bytes[row], precision) if ran else "",
                count if ran else "",
                rise,
                words.printable(profile.source[row]),
            ).rstrip()
            lines.append(text)
    if profile.stretches:
        lines += ["", *_stretches(profile)]
    lines += [line for note in _notes(profile) for line in wrap(words.printable(note), 0, 2, width or 10_000)]
    return lines if width is None else [fit(line, width) for line in lines]


def line_text(profile: LineProfile) -> str:
    """Return a line profile as text of at most 100 columns."""
    return "\n".join([*wrap(line_headline(profile), 0, 2), "", *line_tables(profile, width=WIDTH)])


def line_headline(profile: LineProfile) -> str:
    """Return which line rose highest, or left most."""
    if not profile.occurrences.any():
        return "No line of what was followed ran."
    column = profile.rise_bytes if profile.has_rise else profile.increment_bytes
    row = int(column.argmax())
    function = profile.functions[int(profile.function[row])]
    what = "Greatest rise" if profile.has_rise else "Greatest increment"
    return f"{what}: {format_bytes(int(column[row]))} at {words.printable(function.file)}:{profile.line[row]}"


def peak_sentence(profile: LineProfile) -> str:
    """Say where the figures come from."""
    source = words.printable(profile.sources.get("value", "not stated"), 40)
    peak = profile.sources.get("peak")
    if peak == "vmhwm":
        return f"Read from {source}; the rise is the kernel's own mark, so that no spike is missed."
    if peak is not None:
        return f"Read from {source}; the rise is by {words.printable(peak, 40)}."
    reason = profile.absent.get("peak", "it was not read")
    return f"Read from {source}. How far memory rose within a line is not known: {words.printable(reason)}."


def value_name(profile: LineProfile) -> str:
    """Return what the figures are of."""
    return words.metric_name(profile.metric)


def _mib(value: int, precision: int) -> str:
    return f"{value / _MIB:{precision + 4}.{precision}f} MiB"


def _stretches(profile: LineProfile) -> list[str]:
    rows = [
        (
            words.printable(s.label, 60),
            format_seconds(s.seconds),
            format_signed_bytes(s.end_bytes - s.start_bytes),
            "not known" if s.peak_bytes is None else format_signed_bytes(s.peak_bytes - s.start_bytes),
        )
        for s in profile.stretches
    ]
    return columns(("block", "time", "left", "rise"), rows, (False, True, True, True), 0)


def _notes(profile: LineProfile) -> list[str]:
    notes = list(profile.notes)
    if not profile.has_rise and profile.occurrences.any():
        notes.insert(0, peak_sentence(profile))
    return ["", *notes] if notes else []
