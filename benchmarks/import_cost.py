"""What ``import memlab`` adds to a bare interpreter, and which modules it brings.

Children run in turns, bare and importing, so that a busy machine slows both alike; the least of each is
kept, because nothing but the work itself is in it. Bytecode is written first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

HEAVY = ("numpy", "pandas", "matplotlib", "IPython", "ipywidgets", "jinja2", "psutil", "sqlite3", "asyncio")


def new_modules(statement: str = "import memlab") -> list[str]:
    """Return the modules that a statement adds to those of a bare interpreter."""
    code = f"import sys; before = set(sys.modules); {statement}; new = set(sys.modules) - before"
    code += "; import json; print(json.dumps(sorted(new)))"
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


def import_seconds(statement: str = "import memlab", turns: int = 15) -> tuple[float, float]:
    """Return the least wall times in seconds of a bare interpreter and of one that runs ``statement``."""
    _run(statement)
    bare, importing = [], []
    for _ in range(turns):
        bare.append(_run("pass"))
        importing.append(_run(statement))
    return min(bare), min(importing)


def _run(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> int:
    bare, importing = import_seconds()
    modules = new_modules()
    heavy = sorted(name for name in modules if name.partition(".")[0] in HEAVY)
    print(f"bare interpreter   {bare * 1e3:6.1f} ms")
    print(f"import memlab      {importing * 1e3:6.1f} ms, so {1e3 * (importing - bare):+.1f} ms")
    print(f"modules it brings  {len(modules):6d}, heavy ones: {', '.join(heavy) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
