"""Which blocks of a snapshot are looked at: a filter is a value, and filters are put together."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable

from memlab.errors import UsageError

__all__ = ["SnapshotFilter"]

_WITH_LINE = re.compile(r"(.+):(\d+)")


@dataclasses.dataclass(frozen=True, slots=True)
class SnapshotFilter:
    """Which blocks pass. All that is asked for must hold; patterns of one tuple are alternatives.

    A pattern is a file label, with ``*``, ``?`` and ``[...]`` as in a shell, and, if wanted, a line:
    ``"shop/*.py"``, ``"shop/orders.py:42"``, ``"Cell In[[]3]"``. Upper and lower case are told apart.

    Attributes:
        include: patterns one of which must match.
        exclude: patterns none of which may match.
        domains: tracemalloc domains that pass; None: all of them.
        own: only blocks that lines of your own code allocate, no library's.
        all_frames: look at all frames of a traceback, not only at the allocating one. A block passes when
            ``include`` (or ``own``) holds for one of them and ``exclude`` for none.

    >>> SnapshotFilter(include="shop/*.py").include
    ('shop/*.py',)
    >>> SnapshotFilter(exclude=["*/site-packages/*"]).matches("numpy/core.py", 3)
    True
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    domains: tuple[int, ...] | None = None
    own: bool = False
    all_frames: bool = False

    def __post_init__(self) -> None:
        for name in ("include", "exclude"):
            given = getattr(self, name)
            patterns = (given,) if isinstance(given, str) else given
            if not isinstance(patterns, Iterable) or not all(isinstance(p, str) for p in patterns):
                raise UsageError(f"filter: {name} must be a pattern of file labels, or several: {given!r}")
            object.__setattr__(self, name, tuple(patterns))
        if self.domains is not None:
            domains = (self.domains,) if isinstance(self.domains, int) else self.domains
            if not isinstance(domains, Iterable) or not all(type(d) is int for d in domains):
                raise UsageError(f"filter: domains must be numbers of tracemalloc domains: {self.domains!r}")
            object.__setattr__(self, "domains", tuple(domains))

    def matches(self, file: str, line: int) -> bool:
        """Tell whether one frame passes the patterns."""
        included = not self.include or _any(self.include, file, line)
        return included and not _any(self.exclude, file, line)


def _any(patterns: tuple[str, ...], file: str, line: int) -> bool:
    return any(_matches(pattern, file, line) for pattern in patterns)


def _matches(pattern: str, file: str, line: int) -> bool:
    if fnmatch.fnmatchcase(file, pattern):
        return True
    with_line = _WITH_LINE.fullmatch(pattern)
    return with_line is not None and int(with_line[2]) == line and fnmatch.fnmatchcase(file, with_line[1])
