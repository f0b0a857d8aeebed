"""Names of foreign objects, found without running any of their code.

``type(o)`` cannot be overridden, but a type's ``__name__``, ``__module__`` and ``__qualname__`` can: by a
metaclass, by a property, by a string subclass. They are read through ``type``'s own descriptors and taken
only when they are exact strings. Nothing here compares, hashes, iterates or prints a foreign object.
"""

from typing import Any

__all__ = ["class_dict", "instance_type_name", "mro_of", "short_name", "type_name"]

_get_qualname = type.__dict__["__qualname__"].__get__
_get_name = type.__dict__["__name__"].__get__
_get_dict = type.__dict__["__dict__"].__get__
_get_mro = type.__dict__["__mro__"].__get__
_LONGEST = 200


def class_dict(cls: type) -> Any:
    """Return the class's own namespace, past any metaclass."""
    return _get_dict(cls)


def mro_of(cls: type) -> tuple[type, ...]:
    """Return the method resolution order, past any metaclass."""
    mro: tuple[type, ...] = _get_mro(cls)
    return mro


def type_name(cls: type) -> str:
    """Return ``module.qualname`` of a type.

    >>> type_name(dict), type_name(type_name.__class__)
    ('builtins.dict', 'builtins.function')
    """
    module = class_dict(cls).get("__module__")
    if type(module) is not str:
        # Static types keep the module inside their name; the getter of ``type`` reads it from there.
        module = type.__dict__["__module__"].__get__(cls) if not _is_heap(cls) else "?"
    return clean(f"{module if type(module) is str else '?'}.{_qualname(cls)}")


def instance_type_name(obj: object) -> str:
    """Return ``module.qualname`` of an object's real type."""
    return type_name(type(obj))


def short_name(full: str) -> str:
    """Return a type's name without its module, for builtins and display.

    >>> short_name("builtins.dict"), short_name("app.models.Session")
    ('dict', 'Session')
    """
    return full.rpartition(".")[2] if not full.endswith(">") else full


def clean(text: str) -> str:
    """Make text fit for one line: control characters escaped, at most 200 characters."""
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _qualname(cls: type) -> str:
    try:
        name = _get_qualname(cls)
    except (TypeError, AttributeError, ValueError):
        name = _get_name(cls)
    return name if type(name) is str else "?"


def _is_heap(cls: type) -> bool:
    flags: int = type.__dict__["__flags__"].__get__(cls)
    return bool(flags & (1 << 9))  # Py_TPFLAGS_HEAPTYPE
