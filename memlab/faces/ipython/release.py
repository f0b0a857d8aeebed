"""Let go of what the notebook itself keeps: an output, the last results, the last exception, a variable.

A displayed object stands in ``Out``, under ``_3``, perhaps under ``_``, ``__`` or ``___``, each of these
again in a second, hidden namespace, on the display hook, and in the last cell's result. ``release`` takes
exactly these references to one object away, found by identity, and leaves every other name alone. Nothing is
compared, hashed or printed. IPython is found where it runs and is not imported.
"""

from __future__ import annotations

import builtins
import contextlib
import re
import sys
from typing import Any, Final

from memlab._base.safety import clean, instance_type_name
from memlab.collectors.notebook import listed
from memlab.errors import UsageError

__all__ = ["release"]

_OUTPUT: Final = re.compile(r"Out\[(\d{1,9})\]|_oh\[(\d{1,9})\]|_(\d{1,9})")
_UNDERS: Final = ("_", "__", "___")
_SYS_LAST: Final = ("last_type", "last_value", "last_traceback", "last_exc")
_EXCEPTION: Final = frozenset({"last exception", *(f"sys.{name}" for name in _SYS_LAST)})
_SHELLS_OWN: Final = re.compile(r"In|_ih|_dh|_i{1,3}|_i\d+|get_ipython|exit|quit|open|__\w+__")


def release(name: str) -> str:
    """Let go of something that the notebook holds, so that it is freed if nothing else holds it.

    Args:
        name: one of

            - ``"Out[3]"`` or ``"_3"``: what cell 3 displayed, in every place where the notebook keeps it;
              your own variables that hold it too stay;
            - ``"Out"``: all outputs;
            - ``"_"``, ``"__"``, ``"___"``: a last result, in every place likewise;
            - ``"last exception"`` (or ``"sys.last_value"`` ...): the last exception with its traceback, whose
              frames hold all their variables;
            - the name of a variable: that name, and nothing else.

    Returns:
        What was let go of, in a sentence, and what holds it still. Whether that makes the process smaller is
        the allocator's affair.

    Raises:
        UsageError: outside IPython, for a name that is not there, and for what is not the notebook's to drop
            (an attribute, an item, a name of IPython's own).

    >>> import memlab
    >>> memlab.release("Out[3]")  # doctest: +SKIP
    'let go of Out[3], _3 and _ (builtins.list): it is freed'
    """
    if type(name) is not str:
        raise UsageError(f"release: needs a name as text, such as 'Out[3]', not {instance_type_name(name)}")
    shell = _running_shell()
    name = name.strip()
    if name in _EXCEPTION:
        return _release_exception(shell)
    if name in ("Out", "_oh"):
        return _release_outputs(shell)
    places = _Places(shell)
    output = _OUTPUT.fullmatch(name)
    if output is not None:
        number = int(next(filter(None, output.groups())))
        if number in places.outputs:
            return _release_kept(places, [places.outputs[number]])
    if name in _UNDERS and name in shell.user_ns and places.is_last_result(name):
        return _release_kept(places, [shell.user_ns[name]])
    return _release_variable(places, name)


class _Places:
    """Where a shell keeps objects."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.names: dict[str, Any] = shell.user_ns
        self.hidden: dict[str, Any] = shell.user_ns_hidden
        self.hook = shell.displayhook
        outputs = shell.user_ns.get("_oh")
        self.outputs: dict[int, Any] = outputs if type(outputs) is dict else {}

    def is_last_result(self, name: str) -> bool:
        """Tell whether ``_`` is IPython's: the user, or gettext, may have put something else there."""
        return getattr(self.hook, name, None) is self.names[name]

    def drop_kept(self, value: Any) -> list[str]:
        """Take away the shell's own references to an object; return their names as people know them."""
        dropped = [f"Out[{number}]" for number in self._drop_outputs(value)]
        for names in (self.names, self.hidden):
            for name in [n for n, held in list(names.items()) if held is value and self._is_own(n, value)]:
                del names[name]
                dropped.append(name)
        for name in _UNDERS:
            if getattr(self.hook, name, None) is value:
                setattr(self.hook, name, None)
        self.drop_result(value)
        return list(dict.fromkeys(dropped))

    def drop_result(self, value: Any) -> None:
        """Take an object out of the last cell's result, which stays what it is otherwise."""
        result = self.shell.last_execution_result
        if result is not None and result.result is value:
            result.result = None

    def others(self, value: Any) -> list[str]:
        """Return the names that still hold an object."""
        names = [n for n, held in list(self.names.items()) if held is value and type(n) is str]
        return names + [f"Out[{number}]" for number, held in list(self.outputs.items()) if held is value]

    def _drop_outputs(self, value: Any) -> list[int]:
        numbers = [number for number, held in list(self.outputs.items()) if held is value]
        for number in numbers:
            del self.outputs[number]
        return numbers

    def _is_own(self, name: Any, value: Any) -> bool:
        """Tell whether IPython binds this name to outputs: ``_3``, or ``_`` while it is IPython's."""
        if type(name) is not str:
            return False
        if name in _UNDERS:
            return getattr(self.hook, name, None) is value
        return re.fullmatch(r"_\d+", name) is not None


def _release_kept(places: _Places, box: list[Any]) -> str:
    return _sentence(places.drop_kept(box[0]), box, places)


def _release_outputs(shell: Any) -> str:
    places = _Places(shell)
    values = list(places.outputs.values())
    if not values:
        return "Out holds nothing"
    count = len(values)
    still = 0
    while values:
        value = values.pop()
        places.drop_kept(value)
        still += bool(places.others(value))
    del value
    return f"let go of {count:,} output{'s' if count > 1 else ''}" + (
        f"; names of yours still hold {still:,} of them" if still else ""
    )


def _release_exception(shell: Any) -> str:
    found = [name for name in _SYS_LAST if getattr(sys, name, None) is not None]
    for name in found:
        delattr(sys, name)
    result = shell.last_execution_result
    if result is not None:
        result.error_in_exec = result.error_before_exec = None
    for shower in (getattr(shell, "InteractiveTB", None), getattr(shell, "SyntaxTB", None)):
        for name in ("tb", "last_syntax_error"):
            if shower is not None and getattr(shower, name, None) is not None:
                setattr(shower, name, None)
    if not found:
        return "there is no last exception"
    return "let go of the last exception and its traceback; %debug and %tb have nothing to look at any more"


def _release_variable(places: _Places, name: str) -> str:
    if _SHELLS_OWN.fullmatch(name):
        raise UsageError(f"release: {name} is IPython's own and stays")
    if name not in places.names:
        raise UsageError(_not_there(name))
    box = [places.names.pop(name)]
    if places.hidden.get(name) is box[0]:
        del places.hidden[name]
    return _sentence([name], box, places)


def _not_there(name: str) -> str:
    shown = clean(name)
    if not name.isidentifier() and not _OUTPUT.fullmatch(name):
        return (
            f"release: {shown!r} is no name of the notebook; it takes a variable, 'Out[3]', 'Out', '_' or "
            "'last exception'. For an item or an attribute use del"
        )
    if hasattr(builtins, name):
        return f"release: {shown} is a builtin and stays"
    return f"release: there is no {shown} here"


def _sentence(dropped: list[str], box: list[Any], places: _Places) -> str:
    """Say what was dropped and what is left; ``box`` holds the only reference of ours to the object."""
    said = f"let go of {listed(dropped)} ({instance_type_name(box[0]).removeprefix('builtins.')})"
    others = places.others(box[0])
    if others:
        return f"{said}; {listed(others)} still hold{'s' if len(others) == 1 else ''} it"
    # What one reference from a list and the call itself count for; immortal objects count for more.
    spare = [object()]
    if sys.getrefcount(box[0]) <= sys.getrefcount(spare[0]):
        return f"{said}; it is freed"
    return f"{said}; something else still refers to it, or it is in a cycle that the collector will free"


def _running_shell() -> Any:
    found = sys.modules.get("IPython")
    shell = None
    with contextlib.suppress(Exception):
        shell = found.get_ipython() if found is not None else None
    if shell is None:
        raise UsageError("release: there is no notebook here; use del, or set the attribute that holds it")
    return shell
