"""Install into the environment of the Python that runs this: with uv where it can be had, else with pip.

    .venv/bin/python scripts/install.py -e '.[notebook,dev]'

uv does the same work in a tenth of the time (all of ``[notebook,dev]``: 5 to 10 s instead of 75 to 95). It is
taken from PATH, or else fetched by pip at the version and hash that requirements.lock names. uv does not read
pip's configuration, so what pip is told about indexes and certificates is handed on to it. Where uv cannot be
had, or pip is told something that uv has no word for, or uv fails, pip does it.
"""
# ruff: noqa: INP001, T201, S603 - a script, which prints and runs the commands it is for

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
# pip's setting, uv's variable, and what stands between several values there.
NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "retries": ("UV_HTTP_RETRIES", " "),
}
# How pip talks, and where it keeps files: nothing that changes what is installed.
NO_MATTER = re.compile(
    r"disable-pip-version-check|no-input|quiet|verbose|no-color|progress-bar|cache-dir|root-user-action"
)


def uv_settings(listed: str) -> dict[str, str] | None:
    """Return uv's variables for what ``pip config list`` printed; None where uv has no word for a setting."""
    told: dict[str, str] = {}
    for wanted in ("global", "install", ":env:"):  # the later one counts, as for pip
        for line in listed.splitlines():
            section, _, rest = line.partition(".")
            name, _, value = rest.partition("=")
            if section == wanted:
                told[name] = str(ast.literal_eval(value))
    made = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # pip's: the newest of all indexes
    for name, value in told.items():
        if name in NAMES:
            variable, between = NAMES[name]
            made[variable] = between.join(value.split())
        elif not NO_MATTER.fullmatch(name):
            return None
    return made


def uv_environment() -> dict[str, str] | None:
    """Return the environment for uv; None where pip is set up in a way that uv cannot follow."""
    done = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False)
    made = uv_settings(done.stdout) if done.returncode == 0 else None
    return made and made | dict(os.environ)  # what the user told uv goes first


def find_uv() -> str | None:
    """Return uv's path: on PATH, in an environment of this folder, or fetched into this one now."""
    here = Path(sysconfig.get_path("scripts"))
    for folder in (None, here, ROOT / ".venv" / "bin"):
        found = shutil.which("uv", path=folder and str(folder))
        if found:
            return found
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = re.search(r"^uv==.*(?:\n    .*)*", lock, re.MULTILINE)
    if pinned is None:
        return None
    with tempfile.TemporaryDirectory() as work:
        wanted = Path(work, "uv.txt")
        wanted.write_text(pinned[0] + "\n", encoding="utf-8")
        command = [*PIP, "install", "--quiet", "--require-hashes", "-r", str(wanted)]
        subprocess.run(command, capture_output=True, check=False)
    return shutil.which("uv", path=str(here))


def main(arguments: list[str]) -> int:
    """Install; return the exit code of what did it."""
    environment = uv_environment()
    if environment is not None and "--require-hashes" in arguments:
        environment.pop("UV_CONSTRAINT", None)  # everything is pinned; uv would ask for hashes here too
    uv = find_uv() if environment is not None else None
    if uv is not None:
        command = [uv, "pip", "install", "--quiet", "--python", sys.executable, *arguments]
        if "-e" in arguments:  # uv's cache looks at pyproject.toml, not at the C source
            command += ["--reinstall-package", "memlab"]
        if sys.dont_write_bytecode:  # else it is compiled when first imported, and only what is
            command.append("--compile-bytecode")
        if subprocess.run(command, env=environment, check=False).returncode == 0:
            return 0
        print("uv could not; going on with pip", file=sys.stderr)
    return subprocess.run([*PIP, "install", "--quiet", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
