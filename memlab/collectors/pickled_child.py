"""Read a pickled ``tracemalloc.Snapshot`` where it can do no harm: run as a process, never imported.

Standard input is the pickle; standard output is the same snapshot as JSON, strings numbered. The unpickler
knows two classes by name, ``tracemalloc.Snapshot`` and ``tracemalloc._Traces``, as stand-ins of ours that do
nothing, and no function at all; so nothing that a pickle names can be called. Memory, time and processes are
bounded before the first byte is read, and the parent ends what takes too long.
"""

import io
import json
import pickle
import sys


class _Snapshot:
    """Stands in for ``tracemalloc.Snapshot``: its state is taken, none of its code is there."""

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Traces:
    """Stands in for ``tracemalloc._Traces``."""

    def __setstate__(self, state: object) -> None:
        self.state = state


_KNOWN = {("tracemalloc", "Snapshot"): _Snapshot, ("tracemalloc", "_Traces"): _Traces}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        known = _KNOWN.get((module, name))
        if known is None:
            raise pickle.UnpicklingError("it names something that is no part of a snapshot")
        return known

    def persistent_load(self, _identity: object) -> object:
        raise pickle.UnpicklingError("it refers to something outside of itself")


def _limit(memory: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no limits of this kind: the parent's deadline and file size remain
        return
    for name, value in (
        ("RLIMIT_AS", memory),
        ("RLIMIT_CPU", seconds),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_FSIZE", 0),
    ):
        kind = getattr(resource, name, None)
        if kind is not None:
            try:
                resource.setrlimit(kind, (value, value))
            except (OSError, ValueError):  # a harder limit is there already
                continue


def _read(content: bytes) -> dict:  # type: ignore[type-arg]
    snapshot = _Unpickler(io.BytesIO(content)).load()
    state = getattr(snapshot, "state", None)
    if type(snapshot) is not _Snapshot or type(state) is not dict:
        raise ValueError("it holds no snapshot")
    traces = getattr(state.get("traces"), "state", None)
    # _Traces has a plain dictionary of attributes; _traces is the list of tuples.
    rows = traces.get("_traces") if type(traces) is dict else None
    depth = state.get("traceback_limit")
    if not (type(rows) is list or type(rows) is tuple) or type(depth) is not int:
        raise ValueError("it holds no traces")
    names: dict = {}  # type: ignore[type-arg]
    stacks: dict = {}  # type: ignore[type-arg]
    counts: dict = {}  # type: ignore[type-arg]
    for row in rows:
        domain, size, frames, total = _trace(row)
        key = tuple((names.setdefault(name, len(names)), line) for name, line in frames)
        block = (domain, size, stacks.setdefault(key, len(stacks)), total)
        counts[block] = counts.get(block, 0) + 1
    return {
        "depth": depth,
        "names": list(names),
        "stacks": list(stacks),
        "blocks": [[*block, count] for block, count in counts.items()],
    }


def _trace(row: object) -> tuple:  # type: ignore[type-arg]
    if type(row) is not tuple or len(row) not in (3, 4):
        raise ValueError("an entry is no trace")
    domain, size, frames, *_ = row
    total = row[3] if len(row) > 3 and row[3] is not None else 0  # noqa: PLR2004
    whole = (domain, size, total)
    if (
        any(type(n) is not int or not 0 <= n < 2**62 for n in whole)
        or type(frames) is not tuple
        or not frames
    ):
        raise ValueError("an entry is no trace")
    for frame in frames:
        if type(frame) is not tuple or len(frame) != 2:  # noqa: PLR2004
            raise ValueError("a frame is no line")
        name, line = frame
        if type(name) is not str or len(name) > 4096 or type(line) is not int or not 0 <= line < 2**31:  # noqa: PLR2004
            raise ValueError("a frame is no line")
    return domain, size, frames, total


def main(memory: int, seconds: int) -> int:
    """Read, write, and say what is wrong in one line on standard error."""
    _limit(memory, seconds)
    try:
        text = json.dumps(_read(sys.stdin.buffer.read()), separators=(",", ":"))
    except MemoryError:
        sys.stderr.write("it takes more memory than was allowed")
        return 3
    except (pickle.UnpicklingError, ValueError) as error:
        sys.stderr.write(str(error)[:200])
        return 4
    except BaseException as error:  # noqa: BLE001 - whatever a damaged pickle makes of itself
        sys.stderr.write(f"it is damaged ({type(error).__name__})")
        return 4
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
