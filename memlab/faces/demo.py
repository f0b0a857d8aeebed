"""``memlab demo``: hunt a real leak of a real package, then hunt again on the version that mended it.

prompt_toolkit 3.0.36 remembers every combination of two conditions in module-level dictionaries, and with
the conditions the whole session they belong to; 3.0.52 does not. Each version is installed into an
environment of its own under the output folder, so that nothing of the reader's is touched. The hunt is the
ordinary command ``memlab leaks``, run by that environment's interpreter.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

from memlab.errors import MemlabError, UnavailableError
from memlab.records.leak_report import LeakReport, Verdict
from memlab.store.capture_file import load

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run_demo"]

_PACKAGE = "prompt_toolkit"
_JOB = Path(__file__).parent / "demo_data" / "job.py"


@dataclasses.dataclass(frozen=True, slots=True)
class _Case:
    name: str
    version: str
    expected: Verdict


_CASES = (
    _Case("leaking", "3.0.36", Verdict.LEAK),
    _Case("fixed", "3.0.52", Verdict.NO_LEAK),
)


def run_demo(out_dir: Path, *, budget_s: float = 20.0, say: Callable[[str], None] = print) -> int:
    """Hunt in the leaking and in the fixed version; write both reports; return 0 when both came out right.

    Args:
        out_dir: gets the environments, the job, two captures and two reports.
        budget_s: seconds for each hunt.
        say: takes each line of the story.

    Raises:
        UnavailableError: when the package cannot be installed.
    """
    out_dir = out_dir.absolute()
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        shutil.copy(_JOB, out_dir / _JOB.name)
    except OSError as error:
        raise UnavailableError(f"the demo cannot write to {out_dir}: {error.strerror}") from None
    say(f"The step under test is {out_dir / _JOB.name}: ask one question with {_PACKAGE}, and forget it.")
    right = True
    for case in _CASES:
        say("")
        say(f"== {_PACKAGE} {case.version}, the {case.name} version")
        python = _environment(out_dir / f"env-{case.name}", case.version, say)
        report = _hunt(python, out_dir, case, budget_s)
        say(str(report))
        say("")
        say(f"Report: {out_dir / case.name}.html   (capture: {case.name}.memlab)")
        right = right and report.verdict is case.expected
    say("")
    say("Both verdicts are as they should be." if right else "A verdict is not what the demo expects.")
    return 0 if right else 1


def _environment(folder: Path, version: str, say: Callable[[str], None]) -> Path:
    """Return the interpreter of an environment that holds the package, and sees memlab beside it."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / f"{_PACKAGE}-{version}.installed"
    if not done.exists():
        say(f"installing {_PACKAGE} {version} into {folder.name} ...")
        try:
            venv.create(folder, with_pip=False, clear=True, symlinks=os.name != "nt")
            _link_memlab(python, folder)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UnavailableError(f"the demo cannot make an environment in {folder}: {error}") from None
        _install(python, version)
        done.touch()
    return python


def _link_memlab(python: Path, folder: Path) -> None:
    """Let the environment find memlab and what it needs, behind its own packages."""
    here = [str(Path(__file__).parents[2]), *site.getsitepackages()]
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([python, "-c", purelib], check=True, capture_output=True, text=True)  # noqa: S603
    target = Path(found.stdout.strip())
    (target / "memlab-of-the-demo.pth").write_text("\n".join(dict.fromkeys(here)) + "\n", encoding="utf-8")
    if not target.is_relative_to(folder.resolve()) and not target.is_relative_to(folder):
        raise UnavailableError(f"the environment {folder} keeps its packages elsewhere ({target})")


def _install(python: Path, version: str) -> None:
    command = [
        sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet",
        "--disable-pip-version-check", f"{_PACKAGE}=={version}",
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)  # noqa: S603
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise UnavailableError(
            f"the demo installs {_PACKAGE} {version} from the package index, and pip failed: {why}"
        )


def _hunt(python: Path, out_dir: Path, case: _Case, budget_s: float) -> LeakReport:
    capture = out_dir / f"{case.name}.memlab"
    command = [
        str(python), "-m", "memlab", "leaks", f"{_JOB.name}:step", "--budget", f"{budget_s:g}",
        "--save", str(capture), "--report", str(out_dir / f"{case.name}.html"), "--json",
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603
        command, check=False, cwd=out_dir, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    if not capture.exists() or done.returncode not in (0, 1, 3):
        raise MemlabError(f"the hunt in {_PACKAGE} {case.version} did not end well (exit {done.returncode})")
    report = load(capture)
    if not isinstance(report, LeakReport):
        raise MemlabError(f"{capture.name} holds no leak report")
    return report
