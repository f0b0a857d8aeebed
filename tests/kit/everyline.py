"""Raise KeyboardInterrupt at every line of memlab that an action runs, one line at a time.

``sys.settrace`` sees each line before it runs. The action is run again and again; in run n the nth line of
memlab code in this thread raises. The walk ends with the run in which no line was left to interrupt. Lines
inside ``__del__`` and in a callback of the collector are passed over: the interpreter swallows what is raised
there. So is the second event of
a ``with`` line, when the block ends: the interpreter delivers no signal between the block and a lock's or a
file's own ``__exit__``, and one that is written in Python has lines of its own. Nor does it at ``try:``,
which is no instruction.
"""

import gc
import linecache
import sys
import threading
import time
from pathlib import Path

import memlab

_SWALLOWED = ("__del__", "on_collection")
PACKAGE = str(Path(memlab.__file__).parent)


class Interrupter:
    """A trace function that raises at the nth line of memlab."""

    def __init__(self, at):
        self.at = at
        self.seen = 0
        self.struck = None
        self.swallowed = False
        self._inside = {}

    def __call__(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(PACKAGE) or _in_finalizer(frame):
            return None
        self._inside[id(frame)] = set()
        return self.line

    def line(self, frame, event, arg):
        if event == "line" and not self._is_no_moment(frame):
            if self.seen == self.at:
                self.seen += 1
                self.struck = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise KeyboardInterrupt(self.struck)
            self.seen += 1
        return self.line

    def _is_no_moment(self, frame):
        """Tell whether the interpreter delivers no signal before this line: see above."""
        code, line = frame.f_code, frame.f_lineno
        text = linecache.getline(code.co_filename, line).strip()
        if text == "try:":
            return True
        if not text.startswith("with "):
            return False
        inside = self._inside[id(frame)]
        inside ^= {line}
        return line not in inside


def interrupt_everywhere(action, state, patience_s=2.0, every=1):
    """Run ``action`` once for each of its lines; return how many, and the lines that left residue.

    Args:
        action: runs the code; called without arguments.
        state: returns a comparable description of what must be as before.
        patience_s: time that a thread has to end.
        every: interrupt only each so manieth line.
    """
    residue = []
    at = 0
    action()  # what is made once and kept (caches, late imports) is made here
    while True:
        before = state()
        interrupter = Interrupter(at)
        thread = threading.Thread(target=_run, args=(action, interrupter))
        thread.start()
        thread.join()
        if interrupter.struck is None:
            return at, residue
        if interrupter.swallowed:
            residue.append((interrupter.struck, "the interrupt was swallowed"))
        difference = _difference(before, state, patience_s)
        if difference:
            residue.append((interrupter.struck, difference))
        at += every


def _run(action, interrupter):
    """Run in a thread of its own.

    An exception from a trace function at the end of an ``except`` block leaves the interpreter's record of
    the handled exception as it was (3.11), which no signal does; it goes with the thread. And a lock that
    was not given back shows in the next run, even a re-entrant one.
    """
    sys.settrace(interrupter)
    try:
        action()
        interrupter.swallowed = interrupter.struck is not None
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)


def _difference(before, state, patience_s):
    deadline = time.monotonic() + patience_s
    while True:
        after = state()
        found = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
        if not found or time.monotonic() > deadline:
            return found
        gc.collect()
        time.sleep(0.002)


def _in_finalizer(frame):
    while frame is not None:
        if frame.f_code.co_name in _SWALLOWED:
            return True
        frame = frame.f_back
    return False
