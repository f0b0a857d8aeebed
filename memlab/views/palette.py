"""The colours of every picture, once for the page's style sheet and matplotlib; a test holds them equal.

Each colour has a meaning, not a place. On its background each text colour has a contrast of at least 4.5 to
1, each line at least 3 to 1 (WCAG AA), in the light and in the dark page. Colour never says something alone:
a sign, a word or a shape says it too.
"""

from __future__ import annotations

__all__ = ["DARK", "HUES", "LIGHT", "STRENGTHS", "tints", "tones"]

LIGHT = {
    "page": "#f7f7f5",
    "surface": "#ffffff",
    "sunken": "#f0f1ef",
    "ink": "#1b1f24",
    "muted": "#59626d",
    "line": "#dcdfe0",
    "accent": "#1d5c8f",
    "grew": "#b3261e",
    "shrank": "#1d5c8f",
    "good": "#1f6b43",
    "warn": "#865400",
    "native": "#6a3d9a",
}

DARK = {
    "page": "#14171a",
    "surface": "#1b1f24",
    "sunken": "#23282e",
    "ink": "#e7e9eb",
    "muted": "#a4adb7",
    "line": "#363d45",
    "accent": "#86b8e6",
    "grew": "#ff8f85",
    "shrank": "#86b8e6",
    "good": "#7dcf9f",
    "warn": "#e9b95c",
    "native": "#c5a6f2",
}

HUES = ("muted", "accent", "good", "native", "warn")
"""The colours of a treemap's types: every other type's first. The classes ``hue-0`` ... of heap.css."""

STRENGTHS = (0.11, 0.22, 0.35, 0.48, 0.60)
"""How much of its colour each step of a difference has, from almost none to all of it new or gone."""

_TINT = 0.26


def tints(colors: dict[str, str]) -> tuple[str, ...]:
    """Return the fill of each hue: its colour over the surface, as heap.css mixes them.

    >>> tints(LIGHT)[:2]
    ('#f0f1ef', '#c4d5e2')
    """
    return (colors["sunken"], *(_mixed(colors[name], colors["surface"]) for name in HUES[1:]))


def tones(colors: dict[str, str]) -> dict[str, str]:
    """Return the fill of each tone of a difference, as treemap.css mixes them.

    >>> tones(LIGHT)["same"], tones(LIGHT)["grew-5"]
    ('#f0f1ef', '#d17d78')
    """
    mixed = {
        f"{side}-{step}": _mixed(colors[side], colors["surface"], part)
        for side in ("grew", "shrank")
        for step, part in enumerate(STRENGTHS, 1)
    }
    return {"same": colors["sunken"], **mixed}


def _mixed(color: str, ground: str, part: float = _TINT) -> str:
    parts = ((int(color[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part * one + (1 - part) * other):02x}" for one, other in parts)
