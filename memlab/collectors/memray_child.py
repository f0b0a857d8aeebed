"""Read a capture file of memray's where it can do no harm: run as a process, never imported.

memray's reader is C++ that trusts its input: a damaged file can crash it, or have it ask for any amount of
memory. So memory, time and files are bounded before it is loaded, nothing of the program's environment is
there (a debug information server among it), and the parent sees an exit code and one block of numbers.

Standard input is a JSON document: which file, which measures, where memray is installed, how many of the
outermost frames belong to whoever began the capture. Standard output is one line of JSON (texts and facts)
and then the columns named in it, as 64-bit integers.

Stacks are made here. memray hands out mixed stacks, C and Python; which of their frames are Python's is told
by the Python stack beside it. Frames of the interpreter's own machinery between two Python calls, and below
the first one, are left out: they are in every stack and say nothing.
"""

import array
import importlib
import json
import sys
from typing import Any

FOREIGN, VERSION, DAMAGED, MEMORY, FORMAT, LARGE, ABSENT = range(64, 71)
"""Exit codes: no capture of memray's, another version, damaged, over the limit, a measure that the file's
format does not have, too many stacks, no memray."""

_MOST_FRAMES = 512
_WHOLE = 1 << 20
_MACHINERY = {
    *("call.c", "ceval.c", "methodobject.c", "descrobject.c", "classobject.c", "funcobject.c"),
    *("pycore_call.h", "pycore_ceval.h", "ceval_macros.h", "generated_cases.c.h", "bytecodes.c"),
}
_TRACING = {
    # What a profile function, and memray's is one, has the interpreter allocate: frames, tables of lines
    *("call_trace", "call_profile_func", "sys_profile_start", "sys_profile_func2"),
    *("_PyCode_InitLineArray", "_PyCode_CreateLineArray", "initialize_lines", "initialize_tools"),
    *("update_instrumentation_data", "allocate_instrumentation_data", "_Py_Instrument"),
}
_INTERPRETER = ("Python/", "Objects/", "Include/", "Modules/main.c", "Parser/", "Programs/")
_SYMBOLS = ("_PyEval_", "_PyObject_", "PyObject_Call", "PyObject_Vectorcall", "_TAIL_CALL_", "PyEval_Eval")


def _limit(memory: int, seconds: int) -> None:
    import resource

    for name, value in (
        ("RLIMIT_AS", memory),
        ("RLIMIT_CPU", seconds),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_NPROC", 0),
    ):
        kind = getattr(resource, name, None)
        if kind is not None:
            try:
                resource.setrlimit(kind, (value, value))
            except (OSError, ValueError):  # a harder limit is there already
                continue


class _Tables:
    """Texts, frames, stacks and threads, each once."""

    def __init__(self) -> None:
        self.names: dict = {}  # type: ignore[type-arg]
        self.functions: dict = {}  # type: ignore[type-arg]
        self.frames: dict = {}  # type: ignore[type-arg]
        self.stacks: dict = {}  # type: ignore[type-arg]
        self.threads: dict = {}  # type: ignore[type-arg]

    def frame(self, frame, *, native: bool = False) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
        function, name, line = frame
        key = (
            self.names.setdefault(_text(name), len(self.names)),
            self.functions.setdefault(_text(function), len(self.functions)),
            line if 0 <= line < 2**31 else 0,
            int(native),
        )
        return self.frames.setdefault(key, len(self.frames))  # type: ignore[no-any-return]


def _text(text: str) -> str:
    # Names come from symbol tables and from the file: any bytes are possible.
    return text[:4096].encode("utf-8", "replace").decode()


class _Stacks:
    """Stacks of records as numbers of frames, most recent call first."""

    def __init__(self, tables: _Tables, asked: dict, main: int, native: bool) -> None:  # type: ignore[type-arg]
        self._tables = tables
        self._skip = asked["skip"]
        self._own = tuple(asked["own"])
        self._main = main
        self._native = native

    def of(self, record) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
        """Return the number of a record's stack; -1 for memory that tracing itself took."""
        python = self._python(record)
        if python and self._is_own(python[0]):
            return -1
        entries: list = []  # type: ignore[type-arg]
        if self._native:
            mixed = record.hybrid_stack_trace()
            if any(frame[0] in _TRACING for frame in mixed):
                return -1
            entries = self._mixed(mixed, python)
        else:
            entries = self._plain(python)
        if not entries:
            entries = [self._tables.frame(("", "<unknown>", 0), native=True)]
        key = tuple(entries[:_MOST_FRAMES])
        return self._tables.stacks.setdefault(key, len(self._tables.stacks))  # type: ignore[no-any-return]

    def _python(self, record) -> list:  # type: ignore[no-untyped-def, type-arg]  # noqa: ANN001
        # memray leaves out as many frames as lay outside of the one that began the capture. Where that was
        # not the program itself (memlab began it), they are counted by who did.
        if self._skip is None:
            return record.stack_trace() or record.stack_trace(max_stacks=_WHOLE)  # type: ignore[no-any-return]
        whole = record.stack_trace(max_stacks=_WHOLE)
        if record.tid == self._main and len(whole) > self._skip:
            del whole[len(whole) - self._skip :]
        return whole  # type: ignore[no-any-return]

    def _mixed(self, mixed: list, python: list) -> list:  # type: ignore[type-arg]
        """Number the frames of both kinds; C frames outside of the outermost Python frame are left out."""
        tables, found, at = self._tables, [], 0
        run: list = []  # type: ignore[type-arg]
        for frame in mixed:
            if at < len(python) and frame == python[at]:
                found += self._kept(run, allocating=at == 0)
                if not self._is_own(frame):
                    found.append(tables.frame(frame))
                run = []
                at += 1
                if at == len(python):
                    return found
            else:
                run.append(frame)
        if not python:
            return [tables.frame(frame, native=True) for frame in run]
        if at == 0:  # no frame of the one is in the other: both are shown
            found += self._kept(run, allocating=True)
        # What memray took for frames outside of the capture is Python's all the same.
        return found + self._plain(python[at:])

    def _plain(self, python: list) -> list:  # type: ignore[type-arg]
        return [self._tables.frame(frame) for frame in python if not self._is_own(frame)]

    def _is_own(self, frame) -> bool:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return frame[1].startswith(self._own)  # type: ignore[no-any-return]

    def _kept(self, run: list, *, allocating: bool) -> list:  # type: ignore[type-arg]
        """Number the C frames between two Python frames that are not the interpreter's way of calling."""
        if not allocating:
            return [self._tables.frame(frame, native=True) for frame in run if not _is_interpreter(frame)]
        end = len(run)
        while end and _is_machinery(run[end - 1]):
            end -= 1
        return [self._tables.frame(frame, native=True) for frame in run[:end]]


def _is_machinery(frame) -> bool:  # type: ignore[no-untyped-def]  # noqa: ANN001
    symbol, name, _ = frame
    return name.rpartition("/")[2] in _MACHINERY or symbol.startswith(_SYMBOLS)


def _is_interpreter(frame) -> bool:  # type: ignore[no-untyped-def]  # noqa: ANN001
    name = frame[1].removeprefix("./")
    return _is_machinery(frame) or name.startswith(_INTERPRETER)


def _read(asked: dict) -> "tuple[dict, dict]":  # type: ignore[type-arg]
    from memray import FileFormat, FileReader

    reader = FileReader(asked["path"])
    facts = reader.metadata
    tables = _Tables()
    stacks = _Stacks(tables, asked, facts.main_thread_id, facts.has_native_traces)
    ways = {
        "peak": reader.get_high_watermark_allocation_records,
        "leaked": reader.get_leaked_allocation_records,
        "temporary": reader.get_temporary_allocation_records,
    }
    columns = {name: array.array("q") for name in ("row_stack", "thread", "allocator", "size", "count")}
    lengths, own = {}, {}
    aggregated = facts.file_format == FileFormat.AGGREGATED_ALLOCATIONS
    for measure in asked["measures"]:
        if measure == "temporary" and aggregated:
            if asked["strict"]:
                raise NotImplementedError
            continue
        before, own[measure] = len(columns["size"]), 0
        for record in ways[measure](merge_threads=False):
            if not record.n_allocations or not 0 < record.size < 2**62:
                continue
            stack = stacks.of(record)
            if stack < 0:
                own[measure] += record.size
                continue
            name = _text(record.thread_name)
            thread = tables.threads.setdefault(
                (record.tid == facts.main_thread_id, name), len(tables.threads)
            )
            row = (stack, thread, record.allocator, record.size, record.n_allocations)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
        lengths[measure] = len(columns["size"]) - before
    columns |= _tables_as_columns(tables)
    said = {
        "names": list(tables.names),
        "functions": list(tables.functions),
        "threads": [["main" if is_main else "", name] for is_main, name in tables.threads],
        "rows": lengths,
        "tracing_bytes": own,
        "objects": bool(facts.trace_python_allocators),
        "native": bool(facts.has_native_traces),
        "aggregated": bool(aggregated),
        "allocations": int(facts.total_allocations),
        "started_s": facts.start_time.timestamp(),
        "pid": int(facts.pid),
        "columns": [[name, len(column)] for name, column in columns.items()],
    }
    return said, columns


def _tables_as_columns(tables: _Tables) -> "dict[str, array.array]":  # type: ignore[type-arg]
    columns = {name: array.array("q") for name in ("frame_name", "frame_function", "frame_line", "native")}
    for frame in tables.frames:
        for column, value in zip(columns.values(), frame, strict=True):
            column.append(value)
    columns["lengths"], columns["frame_of"] = array.array("q"), array.array("q")
    for stack in tables.stacks:
        columns["lengths"].append(len(stack))
        columns["frame_of"].extend(stack)
    return columns


def answer(asked: dict) -> int:  # type: ignore[type-arg]
    """Read, write, and tell by the exit code what is wrong. Bounds this process for good."""
    _limit(asked["memory"], asked["seconds"])
    try:
        said, columns = _read(asked)
        if sum(len(column) for column in columns.values()) * 8 > asked["answer"]:
            return LARGE
        out = sys.stdout.buffer
        out.write(json.dumps(said, separators=(",", ":")).encode() + b"\n")
        for column in columns.values():
            out.write(column.tobytes())
        out.flush()
    except MemoryError:
        return MEMORY
    except NotImplementedError:
        return FORMAT
    except BaseException as error:  # noqa: BLE001 - whatever a damaged file makes of itself
        text = str(error)
        if "does not look like" in text:
            return FOREIGN
        return VERSION if "incompatible with this version" in text else DAMAGED
    return 0


def main() -> int:
    """Take the question, load memray, answer."""
    asked = json.loads(sys.stdin.buffer.read())
    sys.path.extend(asked["folders"])
    try:
        memray: Any = importlib.import_module("memray")
    except ImportError:
        return ABSENT
    memray.set_log_level(100)
    return answer(asked)


if __name__ == "__main__":
    sys.exit(main())
