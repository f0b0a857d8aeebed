"""Where memory was allocated, as a tree of places: package, folder, file, line. The static twin's own copy.

``assets/flame.js`` makes the same tree from the same columns for the treemap that opens.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from memlab.views import words
from memlab.views.flame_data import package_hues, tone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memlab.records.flame import FlameTree

__all__ = ["Place", "places"]


@dataclasses.dataclass(slots=True)
class Place:
    """A package, a folder, a file or a line, and what was allocated in it."""

    title: str
    now: int = 0
    was: int = 0
    size: int = 0
    hue: int = 0
    kids: dict[str, Place] = dataclasses.field(default_factory=dict)

    def ordered(self) -> list[Place]:
        """Return what it is made of, greatest first."""
        return sorted((kid for kid in self.kids.values() if kid.size), key=lambda kid: (-kid.size, kid.title))

    def cls(self, *, differs: bool) -> str:
        """Return its colour's class."""
        return tone(self.now, self.was) if differs else f"hue-{self.hue}"


def places(tree: FlameTree) -> Place:
    """Return the tree of places; sizes are bytes, of a difference the greater of before and after.

    A line's size is what it allocated itself; sizes of files and packages are sums of lines.
    """
    hues, _ = package_hues(tree)
    whole = Place("everything")
    was = tree.before.frame_bytes.tolist() if tree.before is not None else [0] * len(tree.frame_file)
    for frame, size in enumerate(tree.now.frame_bytes.tolist()):
        before = was[frame]
        if not size and not before:
            continue
        file, line = int(tree.frame_file[frame]), int(tree.frame_line[frame])
        package = tree.packages[int(tree.file_package[file])]
        _add(whole, _steps(package, tree.files[file], line), size, before, hues.get(file, 0))
    return _joined(whole)


def _steps(package: str, file: str, line: int) -> Iterable[str]:
    parts = [part for part in file.split("/") if part]
    inside = parts[1:] if len(parts) > 1 and parts[0] == package else parts
    yield package
    for folder in inside[:-1]:
        yield f"{folder}/"
    if inside:
        yield inside[-1]
    if line:
        yield f"{inside[-1] if inside else file}:{line}"


def _add(whole: Place, steps: Iterable[str], now: int, was: int, hue: int) -> None:
    here, greater = whole, max(now, was)
    for step in (None, *steps):
        if step is not None:
            title = words.printable(step, 120)
            here = here.kids.setdefault(title, Place(title, hue=hue))
        here.now += now
        here.was += was
        here.size += greater


def _joined(place: Place) -> Place:
    """Take out steps that hold one step alone, so that each click shows a choice."""
    for name, kid in list(place.kids.items()):
        inner = _joined(kid)
        while len(inner.kids) == 1:
            (only,) = inner.kids.values()
            title = (
                only.title
                if only.title.startswith(inner.title)
                else f"{inner.title}{_slash(inner)}{only.title}"
            )
            inner = dataclasses.replace(only, title=title)
        place.kids[name] = inner
    return place


def _slash(place: Place) -> str:
    return "" if place.title.endswith("/") else "/"
