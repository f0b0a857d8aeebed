"""Five references deep: rows that failed, kept by the error report of a stage of a pipeline that a thread runs."""

import threading


class Row:
    __slots__ = ("cells", "error")

    def __init__(self, number):
        self.cells = [f"{number}-{column}" for column in range(6)]
        self.error = ValueError(f"row {number}")


class Report:
    def __init__(self):
        self.failed = []


class Stage:
    def __init__(self):
        self.report = Report()


class Pipeline:
    def __init__(self):
        self.stages = {"read": Stage(), "check": Stage(), "write": Stage()}


ready, leave = threading.Event(), threading.Event()


def work(pipeline):
    for number in range(20_000):
        pipeline.stages["check"].report.failed.append(Row(number))
    ready.set()
    leave.wait()


def run():
    threading.Thread(target=work, args=(Pipeline(),), daemon=True).start()
    ready.wait()


# thread -> pipeline -> stages -> Stage -> report -> failed
EXPECTED = {"label": "failed (list)", "contains": ["20,000", "Row", "thread"]}
