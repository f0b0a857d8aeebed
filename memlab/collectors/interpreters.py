"""How many interpreters live in the process: what hooks the whole of it is sound with one only."""

from __future__ import annotations

__all__ = ["count_interpreters"]


def count_interpreters() -> int:
    """Count interpreters where the interpreter can tell; its module for that has no public name yet."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return len(__import__(name).list_all())
        except (ImportError, AttributeError, RuntimeError):
            continue
    return 1
