"""Programs with one line that allocates a fifth more in its second version; the others breathe a little."""

from __future__ import annotations

import random

import memlab

DEPTH = 25
NOISE = 0.03
MORE = 1.2
MATTERS = 0.2
_RECURSIVE = 3
KINDS = (
    "[bytes(200) for _ in range(size('{}'))]",
    "bytearray(300 * size('{}'))",
    "{{n: str(n) * 4 for n in range(exactly('{}'))}}",
    "[[n] for n in range(2 * size('{}'))]",
)


class Program:
    """A generated program: modules of functions that call each other, recurse, and keep what they make.

    The planted line is one of those that hold at least a fifth of what the greatest one holds.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        chance = random.Random(seed)
        self._sources: dict[str, list[str]] = {f"shop/part{n}.py": [""] for n in range(chance.randint(3, 5))}
        self._sizes: dict[str, int] = {}
        self._key_of: dict[tuple[str, int], str] = {}
        levels: list[list[str]] = []
        for level in range(chance.randint(6, 9)):
            levels.append([])
            for number in range(chance.randint(2, 4)):
                name = f"step_{level}_{number}"
                below = [callee for names in levels[-3:-1] for callee in names]
                self._write(
                    chance, name, chance.sample(below, min(len(below), chance.choice((1, 1, 1, 2)))), level
                )
                levels[-1].append(name)
        self._main = [name for names in levels[-2:] for name in names]

    def _write(self, chance: random.Random, name: str, callees: list[str], level: int) -> None:
        file = chance.choice(list(self._sources))
        lines = self._sources[file]
        lines.append(f"def {name}(again={chance.choice((0, 0, 3)) if level < _RECURSIVE else 0}):")
        for number in range(chance.randint(1, 3)):
            key = f"{name}_{number}"
            self._sizes[key] = 5 * int(1.6 * chance.paretovariate(1.3) + 3)
            lines.append(f"    KEPT.append({chance.choice(KINDS).format(key)})")
            self._key_of[file, len(lines)] = key
        lines += ["    if again:", f"        {name}(again - 1)", *(f"    {callee}()" for callee in callees)]

    def run(self, planted: str = "", label: str = "as it was"):
        """Run it under the tracer and return a snapshot of what it keeps."""
        chance = random.Random(self._seed * 2 + bool(planted))
        sizes = {key: size * (MORE if key == planted else 1) for key, size in self._sizes.items()}
        # The whole part of a size, and one more as often as its fraction and the noise say.
        space = {
            "KEPT": [],
            "size": lambda key: int(sizes[key] + chance.random() * NOISE * 2),
            # One more entry may double a dictionary's table, so dictionaries do not breathe.
            "exactly": lambda key: round(sizes[key]),
        }
        main = "\n".join(f"{name}()" for name in self._main)
        codes = [compile("\n".join(lines), file, "exec") for file, lines in self._sources.items()]
        codes.append(compile(main, "shop/main.py", "exec"))
        with memlab.tracing(DEPTH):
            for code in codes:
                exec(code, space)
            return memlab.snapshot(label)

    def both(self):
        """Run both versions; return the newer snapshot, the older, and the planted line's file and number."""
        before = self.run()
        table = before.statistics("line")
        heavy = [
            (total.site.frame.file, total.site.frame.line)
            for total in table.sites
            if total.size_bytes >= MATTERS * table.sites[0].size_bytes
        ]
        line = random.Random(self._seed).choice([place for place in heavy if place in self._key_of])
        return self.run(self._key_of[line], "a line changed"), before, line
