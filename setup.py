"""Build the optional C extensions; everything else is declared in pyproject.toml.

Each ``memlab/_native/*.c`` becomes one extension of the same name against the limited API of Python 3.11,
so that one binary serves every later version. All are optional: without a compiler the build goes on, and
the pure-Python twin does the work. A free-threaded Python has no limited API, so there it is the twin.
"""

from pathlib import Path

from setuptools import Extension, setup

SOURCES = sorted(Path("memlab/_native").glob("*.c"))

setup(
    ext_modules=[
        Extension(
            f"memlab._native.{source.stem}",
            [str(source)],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            py_limited_api=True,
            optional=True,
        )
        for source in SOURCES
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if SOURCES else {},
)
