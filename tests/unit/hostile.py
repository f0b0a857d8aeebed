"""Records with every text slot filled by somebody who wants to break the page that shows them."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import random
from collections.abc import Mapping

PAYLOADS = (
    "</script><img src=x onerror=alert(1)>",
    "</SCRIPT ><script>alert(1)</script>",
    "<!--<script>",
    "-->",
    "]]>",
    "</title></head><body onload=alert(1)>",
    "</style><style>*{display:none}",
    "</td></tr></table><h1>",
    "</text></svg><iframe srcdoc='<script>alert(1)</script>'>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "`${alert(1)}`",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "https://attacker.example/x.js",
    "&lt;script&gt;&amp;&#x3c;",
    "\u2028alert(1)\u2029",
    "\u202egnp.exe\u202c\u2066\u2069",
    "nul\x00inside",
    "bell\x07escape\x1b[31mred\x1b[0m",
    "line\r\nbreak\ttab",
    "lone \ud800 surrogate",
    "zero\u200bwidth\ufeff",
    "<" * 40,
    "very long " * 700,
    "unbroken" * 500,
    "内存泄漏" * 60,
    "e\u0301" * 90,
    "\U0001f9ea" * 50,
    "%s %d {0} {name} \\u003c \\x00",
)


def strings(seed: int):
    """Yield hostile strings without end, none twice: each payload, alone and in combinations."""
    chance = random.Random(seed)
    for number in itertools.count():
        parts = chance.sample(PAYLOADS, chance.choice((1, 1, 2, 3)))
        yield f"{number}{chance.choice(('', '.', ' ', ':'))}{''.join(parts)}"


def harmless():
    """Yield words without end, none twice."""
    for number in itertools.count():
        yield f"word{number}"


def refill(record, source):
    """Return a record with every text that is not empty, keys of mappings included, taken from ``source``.

    Equal texts stay equal, so that a test still finds its series. Enumerations are no free text.
    """
    known: dict[str, str] = {}

    def swap(value):
        if isinstance(value, str) and value and not isinstance(value, enum.Enum):
            if value not in known:
                known[value] = next(source)
            return known[value]
        if dataclasses.is_dataclass(value):
            fields = {f.name: swap(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return type(value)(**fields)
        if isinstance(value, tuple):
            return tuple(swap(item) for item in value)
        if isinstance(value, Mapping):
            return {swap(key): swap(item) for key, item in value.items()}
        return value

    return swap(record), list(known.values())
