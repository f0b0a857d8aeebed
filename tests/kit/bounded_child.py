"""A process of its own for code that changes the interpreter, with a bound on its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

_HEAD = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"


def in_child(code, *, ok=True):
    """Run code with 2 GiB at most and return what it printed; ``ok=False`` expects it to fail."""
    head = "" if "ASAN_OPTIONS" in os.environ else _HEAD  # the sanitizer's shadow is terabytes of addresses
    child = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (child.returncode == 0) is ok, child.stderr
    return child.stdout
