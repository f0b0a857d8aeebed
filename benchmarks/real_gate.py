"""The gate on a real package: its own tests, at a release that needs less memory and at one that needs more.

more-itertools 10.6.0 says in its notes that factor() uses less memory. Its 10.5.0 tests run under 10.6.0,
which makes the baseline, and then under 10.5.0: pytest must fail, and name the test and the line. Then once
more under 10.6.0: it must pass. Both releases are installed from the package index as source archives into a
temporary folder, which is all that this touches. Options: --keep FOLDER.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

MORE, LESS = "10.5.0", "10.6.0"


def fetch(version, folder):
    """Download and unpack a source archive; return its root."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--no-binary",
        ":all:",
        "-d",
        folder,
    ]
    subprocess.run([*command, f"more-itertools=={version}"], check=True, stderr=subprocess.DEVNULL)
    archive = next(path for path in Path(folder).glob("*.tar.gz") if version in path.name)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return next(path for path in Path(folder).iterdir() if path.is_dir() and path.name.endswith(version))


def gate(tests, package, folder, *more):
    """Run the tests with a package from a folder of its own; return pytest's code and last lines."""
    place = Path(folder, "project")
    with contextlib.suppress(FileNotFoundError):
        (place / "more_itertools").unlink()
    place.mkdir(exist_ok=True)
    (place / "more_itertools").symlink_to(package / "more_itertools")
    if not (place / "tests").exists():
        (place / "tests").symlink_to(tests / "tests")
        (place / "pytest.ini").write_text("[pytest]\n")
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"),
        *("tests/test_recipes.py", "--memlab-baseline", str(Path(folder, "baseline.json")), *more),
    ]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="copy the report's page there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        more, less = fetch(MORE, folder), fetch(LESS, folder)
        out = Path(folder, "report.json")
        page = Path(folder, "report.html")
        print(f"baseline under {LESS}: pytest ended with", gate(more, less, folder)[0])
        code, text = gate(more, more, folder, "--memlab-json", str(out), "--memlab-html", str(page))
        print(f"held against it, {MORE}: pytest ended with", code)
        print(text[text.find("memlab baseline") :].rstrip()[:3000])
        found = json.loads(out.read_text())
        worse = [change for change in found["changes"] if change["verdict"] == "regression"]
        again = gate(more, less, folder)[0]
        print(f"once more under {LESS}: pytest ended with", again)
        if options.keep:
            options.keep.write_bytes(page.read_bytes())
    hit = any("FactorTests" in change["metric"] and change["place"] for change in worse)
    return 0 if code == 1 and hit and again == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
