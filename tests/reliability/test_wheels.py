"""The wheels: built with and without a compiler, installed where nothing is, used, weighed and removed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
@pytest.mark.network
@pytest.mark.timeout(1800)
def test_each_wheel_works_in_an_empty_environment_and_goes_without_a_trace():
    """``scripts/try_wheels.py`` on each Python here: a right verdict, a light import, nothing left."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "try_wheels.py"], capture_output=True, text=True, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "engine native" in done.stdout
    assert "engine python" in done.stdout
