"""How a subject gets into a cage: by its name, or pickled by name; never by its code.

A caged child is a fresh interpreter with the caller's search path. What lives in ``__main__`` (a notebook, a
script) does not exist there, and is refused with the remedy before anything is started.
"""

from __future__ import annotations

import base64
import pickle
from typing import TYPE_CHECKING, Any

from memlab._base.safety import clean, instance_type_name
from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["named_subject"]


def named_subject(subject: Callable[..., Any] | str) -> tuple[dict[str, str], str]:
    """Return what a plan holds of a subject, and its label for results.

    Raises:
        UsageError: when the subject cannot be found again in another process.

    >>> named_subject("shop:step")
    ({'name': 'shop:step'}, 'shop:step')
    """
    if isinstance(subject, str):
        module, colon, path = subject.rpartition(":")
        if not (colon and all(p.isidentifier() for p in (*module.split("."), *path.split(".")))):
            raise UsageError(f"a subject is named as module:function, not {clean(subject)!r}")
        return {"name": str(subject)}, str(subject)
    if not callable(subject):
        raise UsageError(f"a subject is 'module:function' or a callable, not {instance_type_name(subject)}")
    home = getattr(subject, "__module__", None)
    label = _label(subject, home, getattr(subject, "__qualname__", None))
    inner = getattr(subject, "func", subject)  # functools.partial
    if "__main__" in (home, getattr(inner, "__module__", None)):
        raise UsageError(
            f"{label} is defined in the notebook or script itself, which does not exist inside the cage: put "
            "it into a file (%%writefile mine.py) and name it 'mine:function'"
        )
    try:
        data = pickle.dumps(subject)
    except Exception as error:  # noqa: BLE001 - pickling runs the object's own code
        raise UsageError(
            f"{label} cannot be taken into another process ({instance_type_name(error).rpartition('.')[2]}): "
            "name a function of a module as 'module:function'"
        ) from None
    return {"pickle": base64.b64encode(data).decode("ascii")}, label


def _label(subject: object, module: object, path: object) -> str:
    if isinstance(module, str) and isinstance(path, str):
        return clean(f"{module}:{path}")
    return clean(instance_type_name(subject))
