"""A program that is full of secrets, and shows, saves and prints every result that can be had of it.

``PROGRAM`` is source text in which each ``@what@`` stands for a secret of its own; ``plant`` writes it to a
folder and returns the secrets. The program calls each collector, keeps what came out in each form that
leaves the process (text, page, notebook bundle, dictionary, table, capture file), and writes it all below
``out``. Secrets that stand in the command line, the environment, the home folder, the names of user and
machine and the folders above the project are planted by who starts it.
"""

from __future__ import annotations

import re

MARK = "zqsecret"  # each begins with it

APP = '''
"""@module docstring@"""
import contextvars, logging, os, sys, threading, warnings, weakref

SETTING = "@module string@"  # @comment@
TOKENS = {"@dict key@": "@dict value@", b"@bytes key@": b"@bytes value@", ("@tuple key@",): ["@list item@"]}
SEEN = {"@set item@"}; FROZEN = frozenset({"@frozenset item@"})
NESTED = {"level": [{"deep": ("@nested value@",)}]}
NUMBER = 9137042001
FLAG = contextvars.ContextVar("flag", default="@context default@")
FLAG.set("@context value@")
LOCAL = threading.local(); LOCAL.value = "@thread local@"
BUFFER = bytearray(b"@bytearray@"); VIEW = memoryview(b"@memoryview@")
MULTI = """first
    @string over lines@
last"""


class Session:
    """@class docstring@"""

    shared = "@class attribute@"
    __slots__ = ("token", "more", "__dict__", "__weakref__")

    def __init__(self, number):
        self.token = "@slot value@" + str(number)
        self.more = {"@instance key@" + str(number): "@instance value@" + str(number)}
        self.extra = ["@attribute list@"] * 3

    def __repr__(self):
        return "@repr@"

    def __str__(self):
        return "@str@"

    def __format__(self, spec):
        return "@format@"

    @property
    def name(self):
        return "@property@"

    def __hash__(self):
        return hash("@hash@")


class Refused(ValueError):
    def __str__(self):
        return "@exception str@"


REGISTRY = []
BY_KEY = {}


def step(default="@default argument@"):
    """@function docstring@"""
    local = "@local variable@"
    session = Session(len(REGISTRY))
    REGISTRY.append(session); BY_KEY[f"@f-string@ {len(REGISTRY)} {local}"] = session  # @trailing comment@
    REGISTRY.append([bytes(3000), "@argument@", 'it''s @single quoted@'])
    held = lambda kept="@lambda default@": (kept, local)
    REGISTRY.append(held)
    return "@return value@"


def closure():
    inner = "@cell variable@"

    def look():
        return inner

    return look


HELD = closure()


def generator():
    waiting = "@generator local@"
    yield waiting
    yield None


RUNNING = generator(); next(RUNNING)


async def coroutine():
    awaited = "@coroutine local@"
    await Never(); return awaited


class Never:
    def __await__(self):
        yield "@awaited@"


SUSPENDED = coroutine(); SUSPENDED.send(None)


def fails(number="@failing default@"):
    error = Refused("@exception argument@", {"@exception key@": 1})
    error.add_note("@exception note@")
    raise error from KeyError("@cause@")


def caught():
    try:
        fails()
    except Refused as error:
        return error


LAST = caught()
'''

PROGRAM = '''
import contextlib, gc, io, json, os, sys, time, traceback, warnings
import app
import memlab
from pathlib import Path

OUT = Path(sys.argv[1])
sys.argv[1:] = [os.environ["SECRET_ARGUMENT"]]
warnings.simplefilter("always")
numbers = iter(range(1000))
LONG = os.environ.get("MEMLAB_LONG") == "1"
saved = []


def keep(name, value):
    """Write a result in every form that leaves a process."""
    stem = OUT / f"{next(numbers):03}-{name}"
    forms = {"str": str(value), "repr": repr(value)}
    for form, make in {
        "bundle": lambda: json.dumps(value._repr_mimebundle_()),  # the page is in it
        "dict": lambda: json.dumps(value.to_dict()),
    }.items():
        with contextlib.suppress(AttributeError):
            forms[form] = make()
    for form, text in forms.items():
        Path(f"{stem}.{form}").write_text(text, encoding="utf-8", errors="backslashreplace")
    if hasattr(value, "save"):
        value.save(f"{stem}.memlab")
        saved.append((stem, value))


def refused(name, call):
    """Write what an error of memlab says."""
    try:
        call()
    except memlab.MemlabError as error:
        (OUT / f"{next(numbers):03}-{name}.error").write_text(str(error))
    else:
        raise AssertionError(f"{name} was to fail")


keep("memit", memlab.memit(app.step))
with memlab.tracing(5):
    before = memlab.snapshot("before")
    with memlab.record(0.005, path=OUT / "stream.memlab") as recording:
        with recording.span("work"):
            for _ in range(200):
                app.step()
            time.sleep(0.1)
    after = memlab.snapshot("after")
keep("capture", recording.capture)
keep("snapshot", after)
keep("functions", after.statistics("function"))
keep("diff", after.diff(before))
keep("tracebacks", after.diff(before, "traceback"))
keep("flame", after.flame(before))
graph = memlab.heap(title="t")
(OUT / "heap.str").write_text(str(graph))  # its page is a part of the report below
graph.save(OUT / "heap.memlab")
for question in ("census", "suspects", "dominator_tree", "duplicates", "cycles", "by_module", "by_package"):
    keep(question, getattr(graph, question)())
keep("query", graph.query(type="app."))
keep("cut", graph.what_if(app.REGISTRY))
keep("why", memlab.why(app.REGISTRY[0]))
keep("why-error", memlab.why(app.LAST))
with memlab.heap_window() as window:
    app.step()
keep("window", window.diff)
keep("where", memlab.where())
leaks = recording.capture
if LONG:  # `memlab leaks` does it in each run
    leaks = memlab.find_leaks(app.step, budget_s=2, iterations=40)
    assert leaks.verdict is memlab.Verdict.LEAK, leaks.reason
    assert any(suspect.site is not None for suspect in leaks.suspects)
    keep("leaks", leaks)
hunt = memlab.LeakHunt(app.fails, budget_s=1, iterations=20)
with contextlib.suppress(app.Refused):  # the user's own, which comes out as it is
    hunt.run()
keep("failed-hunt", hunt.report)
lines = memlab.LineProfiler(app.step)
with lines:
    app.step()
keep("lines", lines.result)
keep("post-mortem", memlab.MemoryGuard("1 TiB", save=None).post_mortem())
monitor = memlab.GCMonitor()
with monitor:
    gc.collect()
keep("pauses", monitor.record)
alerts = memlab.MemoryAlertSystem(limit_bytes=2**20, reader=lambda: 2**20)
alerts.add_handler(lambda kind, details: app.fails())
alerts.tick()
keep("alerts", alerts.status())
alerts.close()
cache = memlab.LRUCache(5)
for key in list(app.BY_KEY)[:9]:
    cache.put(key, app.BY_KEY[key])
keep("cache", cache.stats)
keep("cache-itself", cache)
keep("dump", memlab.dump_heap(str(OUT / "heap-{pid}.memlab")))
refused("load", lambda: memlab.load("../gone.memlab"))
refused("save", lambda: leaks.save("no/such/folder/x.memlab"))
with memlab.MemoryPressureSimulator("64 MiB") as simulator:
    run = simulator.run(memlab.PressureScenario.named("ramp").lasting(0.5), subject=app.step)
    refused("pressure-error", lambda: simulator.run("ramp", subject=app.fails))
keep("pressure", run)
if os.environ.get("SECRET_NATIVE"):
    with memlab.NativeTrace() as native:
        app.step()
    keep("native", native.leaked)
rows = [{"session": app.REGISTRY[0], "n": 1}]
report = memlab.Report("All", [leaks, *([graph] if LONG else []), after, ("rows", rows)])
keep("report", report)
for stem, value in saved:  # last, since pandas would be in each heap
    Path(f"{stem}.csv").write_text(value.to_frame().head(5000).to_csv())
'''

CELLS = [
    "%load_ext memlab",
    "%memcells on",
    "import app\nsecret = '@cell string@'  # @cell comment@",
    "%memit app.step()",
    "%%memit\ntoken = '@measured cell@'\napp.step()",
    "%%memdiff\nkept = [f'@difference cell@ {n}' for n in range(500)]  # @difference comment@",
    "%%memtrace\ntraced = ['@traced cell@'] * 1000",
    "%%leaks --iterations 30 --budget 3\napp.step()  # @hunted cell@",
    "%why app.REGISTRY[0]",
    "%heap",
    "%heap --names",
    "%memcells show",
    "%%heapdiff\nmore = {'@heap cell key@': ['@heap cell value@']}",
    "%memwhere",
    "app.REGISTRY[0]",
    "1 / 0  # @failing cell@",
]

OUTSIDE = (
    "argument",
    "environment value",
    "environment name",
    "home folder",
    "user name",
    "host name",
    "folder above",
)


def plant(text: str, secrets: dict[str, str]) -> str:
    """Put a secret, made here and kept in ``secrets``, in each place of ``text``."""

    def secret(match: re.Match[str]) -> str:
        what = match.group(1)
        if what not in secrets:
            secrets[what] = f"{MARK}{len(secrets):02}x7"
        return secrets[what]

    return re.sub(r"@([a-z\-]+(?: [a-z]+)*)@", secret, text)
