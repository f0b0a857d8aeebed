"""The options of a leak hunt, once: the command line and the magics are both made from this table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HUNT_OPTIONS", "Option", "hunt_keywords"]


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: its long form without the dashes.
        short: its letter in a magic; empty when it has none.
        kind: what its value is read with; None for a flag.
        metavar: how its value is shown.
        keyword: the argument of ``LeakHunt`` that takes the value; empty when the face itself uses it.
        help: one line.
    """

    name: str
    short: str
    kind: type | None
    metavar: str
    keyword: str
    help: str

    @property
    def key(self) -> str:
        """Name of the parsed value."""
        return self.name.replace("-", "_")


HUNT_OPTIONS = (
    Option("budget", "b", float, "S", "budget_s", "seconds to spend, about (default 30)"),
    Option("iterations", "n", int, "N", "iterations", "how often to call the step (default: what fits)"),
    Option("warmup", "w", int, "N", "warmup", "calls before the first reading that counts"),
    Option("depth", "", int, "N", "depth", "frames to keep for each traced block (default 25)"),
    Option("no-trace", "", None, "", "", "do not trace allocations: no lines, and much faster"),
    Option("save", "", str, "FILE", "", "write the result as a capture, for 'memlab show' and 'report'"),
    Option("report", "", str, "OUT.html", "", "write the result as one HTML page that opens offline"),
)


def hunt_keywords(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``LeakHunt`` for parsed values; what was not given keeps its default."""
    chosen = {
        option.keyword: values[option.key]
        for option in HUNT_OPTIONS
        if option.keyword and values.get(option.key) is not None
    }
    return chosen | {"trace": not values.get("no_trace", False)}
