"""Build the optional C extensions; everything else is declared in pyproject.toml.

``heapgraph`` is built against the limited API of Python 3.11, so that one binary serves every later version.
``sites`` hooks the allocators, which that API does not have, and reads frames as the interpreter at hand
keeps them: it is built for one version, so the wheel is of that version too. Both are optional: without a
compiler the build goes on; heapgraph's pure-Python twin does its work, and traces come from tracemalloc. A
free-threaded Python has neither. With MEMLAB_STABLE_ABI=1 ``sites`` is left out and the wheel serves every
Python from 3.11 on: for those that are newer than what ``sites`` was written for.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

STABLE = {"define_macros": [("Py_LIMITED_API", "0x030B0000")], "py_limited_api": True}
OF_ONE_VERSION = ("sites",)
STABLE_ONLY = os.environ.get("MEMLAB_STABLE_ABI") == "1"
SOURCES = [
    source
    for source in sorted(Path("memlab/_native").glob("*.c"))
    if not (STABLE_ONLY and source.stem in OF_ONE_VERSION)
]

setup(
    ext_modules=[
        Extension(
            f"memlab._native.{source.stem}",
            [str(source)],
            optional=True,
            **({} if source.stem in OF_ONE_VERSION else STABLE),
        )
        for source in SOURCES
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ONLY and SOURCES else {},
)
