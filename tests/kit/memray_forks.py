"""Answers questions of ``memlab.collectors.memray_files`` by a fork for each: memray is loaded once.

Run as a process. Standard input is one JSON question a line; the answer is a line of JSON (exit code, length,
peak memory) and so many bytes.
"""

import json
import os
import resource
import sys


def main():
    folders, child = json.loads(sys.stdin.readline())
    sys.path.extend(folders)
    sys.path.insert(0, child)
    import memray
    import memray_child

    memray.set_log_level(100)
    devnull = os.open(os.devnull, os.O_WRONLY)
    for line in sys.stdin:
        code, answer, peak = _ask(json.loads(line), memray_child, devnull)
        sys.stdout.buffer.write(json.dumps([code, len(answer), peak]).encode() + b"\n" + answer)
        sys.stdout.buffer.flush()


def _ask(question, memray_child, devnull):
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(writing, 1)
        os.dup2(devnull, 2)
        os.close(reading)
        code = 70
        try:
            code = memray_child.answer(question)
        finally:
            os._exit(code)
    os.close(writing)
    parts = []
    while part := os.read(reading, 1 << 20):
        parts.append(part)
    os.close(reading)
    _, status, usage = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), b"".join(parts), usage.ru_maxrss * 1024


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
