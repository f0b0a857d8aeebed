"""Names of foreign objects: found without running any of their code."""

from __future__ import annotations

import pytest

from memlab._base.safety import class_dict, clean, instance_type_name, mro_of, short_name, type_name


class Trap(Exception):
    """Raised by every piece of user code in this file."""


def trap(*args, **kwargs):
    raise Trap


class HostileMeta(type):
    """A metaclass that lies or raises wherever Python asks it something."""

    __name__ = property(trap)
    __module__ = property(trap)
    __mro__ = property(trap)
    __dict__ = property(trap)
    __getattribute__ = trap
    __hash__ = trap
    __eq__ = trap
    __repr__ = trap
    __str__ = trap
    __instancecheck__ = trap


hostile = HostileMeta.__new__(HostileMeta, "Hostile", (), {"__module__": "app", "__qualname__": "Hostile"})


def test_a_hostile_metaclass_runs_nothing():
    """The name, namespace and bases of a type are read past its metaclass."""
    assert type_name(hostile) == "app.Hostile"
    assert class_dict(hostile)["__module__"] == "app"
    assert mro_of(hostile) == (hostile, object)


def test_an_instance_that_lies_about_its_class_is_named_by_its_real_type():
    """``__class__`` and ``__getattribute__`` of an instance are not asked."""

    class Liar:
        __class__ = property(trap)
        __getattribute__ = trap
        __repr__ = trap
        __module__ = "app"

    assert instance_type_name(Liar()).endswith("Liar")
    assert instance_type_name(Liar()).startswith("app.")


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (dict, "builtins.dict"),
        (type(None), "builtins.NoneType"),
        (type(len), "builtins.builtin_function_or_method"),
        (ValueError, "builtins.ValueError"),
        (Trap, f"{__name__}.Trap"),
        (type, "builtins.type"),
    ],
)
def test_type_name_is_module_and_qualname(cls, name):
    """Static and heap types alike."""
    assert type_name(cls) == name


def test_nested_classes_keep_their_path():
    """The qualified name tells two inner classes apart."""

    class Inner:
        pass

    assert type_name(Inner) == f"{__name__}.test_nested_classes_keep_their_path.<locals>.Inner"


class Shout(str):
    """A string subclass whose every use is a trap."""

    __slots__ = ()
    __str__ = __format__ = __len__ = __iter__ = __eq__ = __add__ = trap
    __hash__ = str.__hash__


@pytest.mark.parametrize(
    "module", [None, 3, property(trap), Shout("evil")], ids=["None", "int", "prop", "str"]
)
def test_a_module_that_is_no_plain_text_is_unknown(module):
    """A type whose module is not an exact string is named with a question mark."""
    cls = type("Odd", (), {"__module__": module})
    assert type_name(cls) == "?.Odd"


@pytest.mark.parametrize(
    ("full", "short"),
    [
        ("builtins.dict", "dict"),
        ("app.models.Session", "Session"),
        ("dict", "dict"),
        ("app.f.<locals>.<lambda>", "app.f.<locals>.<lambda>"),
    ],
)
def test_short_name_drops_the_module(full, short):
    """A name that ends in an angle bracket has no last part of its own."""
    assert short_name(full) == short


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain é 漢", "plain é 漢"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eevil", "\\u202eevil"),
        ("\udc80", "\\udc80"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
    ],
)
def test_clean_is_one_printable_line(text, cleaned):
    """Control characters, direction marks and surrogates are escaped; long text is cut."""
    assert clean(text) == cleaned
    assert clean(text).isprintable()
