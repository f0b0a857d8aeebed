"""Whatever the bytes of a capture: a value or one ``CaptureError``, in bounded memory and time.

Three kinds of damage: to the bytes of whole files (found, or without effect: what loads is what was saved);
inside valid checks, as an attacker would make it (a value of sound types, or refused); and in a child with a
small address space, watched by an audit hook.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from captures import forge, parts_of, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import INT64, results

from memlab.errors import CaptureError
from memlab.records.timeline import Timeline
from memlab.store import schema
from memlab.store.capture_file import load, save
from memlab.store.kinds import KINDS

MIB = 1024 * 1024
SLOWEST_S = 2.0  # a load takes a millisecond; the rest is for a machine that does other things too
PAGE = schema.PAGE_BYTES
# For each kind of result; make test-long tries more.
EXAMPLES = 400 if os.environ.get("MEMLAB_LONG") == "1" else 25


@pytest.fixture(scope="module")
def seeds():
    """The value and bytes of a capture of each kind."""
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, value in samples().items():
            if isinstance(value, Timeline):
                value = Timeline(
                    value.time_s[:50], {n: c[:50] for n, c in value.metrics.items()}, value.sources
                )
            place = Path(folder, "seed.memlab")
            save(value, place)
            made[kind] = (value, place.read_bytes())
    return made


# -- mutations of whole files; each takes a random source and the bytes of all seeds


def truncate(chance, data, others):
    return data[: chance.randrange(len(data))]


def flip_bits(chance, data, others):
    damaged = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 8, 64])):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def flip_structure(chance, data, others):
    """Flip bits where SQLite keeps its own numbers: the file's header and the start of each page."""
    damaged = bytearray(data)
    for _ in range(chance.choice([1, 2, 4])):
        page = chance.randrange(len(data) // PAGE) * PAGE
        damaged[page + chance.randrange(120)] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def set_numbers(chance, data, others):
    """Write extreme numbers over one, two, four or eight bytes."""
    damaged = bytearray(data)
    for _ in range(chance.choice([1, 1, 3])):
        length = chance.choice([1, 2, 4, 8])
        value = chance.choice(
            [0, 1, (1 << (8 * length - 1)) - 1, 1 << (8 * length - 1), (1 << 8 * length) - 1]
        )
        at = chance.randrange(len(damaged) - length)
        damaged[at : at + length] = value.to_bytes(length, "big")
    return bytes(damaged)


def splice(chance, data, others):
    """Join the start of one capture to the end of another, at a byte or at a page."""
    other = chance.choice(others)
    grain = chance.choice([1, PAGE])
    cut = chance.randrange(min(len(data), len(other)) // grain) * grain
    return data[:cut] + other[cut:]


def swap_pages(chance, data, others):
    pages = [data[i : i + PAGE] for i in range(0, len(data), PAGE)]
    for _ in range(chance.choice([1, 2])):
        one, two = chance.randrange(len(pages)), chance.randrange(len(pages))
        if chance.random() < 0.5:
            pages[one] = pages[two]
        else:
            pages[one], pages[two] = pages[two], pages[one]
    return b"".join(pages)


def shift(chance, data, others):
    """Take a run of bytes out, put one in twice, or fill one with a single value."""
    start, length = chance.randrange(len(data)), chance.randrange(1, 300)
    run = data[start : start + length]
    filler = chance.choice([b"", run + run, bytes(len(run)), b"\xff" * len(run)])
    return data[:start] + filler + data[start + length :]


MUTATIONS = [truncate, flip_bits, flip_structure, set_numbers, splice, swap_pages, shift]


def mutants(seeds, count, seed):
    """Give ``count`` damaged captures, each with all values that it may honestly load as."""
    chance = random.Random(seed)
    kinds = sorted(seeds)
    everything = [data for _, data in seeds.values()]
    for number in range(count):
        value, data = seeds[kinds[number % len(kinds)]]
        mutation = MUTATIONS[number % len(MUTATIONS)]
        # A splice or swap may by chance put a whole file together again.
        honest = [v for v, _ in seeds.values()] if mutation is splice else [value]
        yield mutation(chance, data, everything), honest, f"{mutation.__name__} {number} of seed {seed}"


def value_or_none(place, what):
    """Load a file; None when it is refused, in the one form that a refusal has."""
    began = time.monotonic()
    value = refusal = None
    try:
        value = load(place)
    except CaptureError as error:
        refusal = error
    assert time.monotonic() - began < SLOWEST_S, what
    if refusal is not None:
        assert type(refusal) is CaptureError, what
        assert str(refusal).startswith("x.memlab "), what
        assert str(refusal).isprintable(), what
        assert "does not fit in memory" not in str(refusal), what
    return value


def check_mutants(seeds, count, seed, folder):
    """Load each damaged capture; return how many were refused."""
    refused = 0
    place = Path(folder, "x.memlab")
    for data, honest, what in mutants(seeds, count, seed):
        place.write_bytes(data)
        loaded = value_or_none(place, what)
        refused += loaded is None
        assert loaded is None or any(loaded == value for value in honest), f"{what}: loads as another value"
        assert [p.name for p in Path(folder).iterdir()] == ["x.memlab"], what
    return refused


def test_damaged_bytes_are_found_or_without_effect(seeds, tmp_path):
    """1,000 truncated, flipped, spliced and shuffled captures: an error, or the value that was saved."""
    refused = check_mutants(seeds, 1000, 20, tmp_path)
    assert refused > 500  # the rest hit bytes that SQLite keeps free


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_are_found_or_without_effect_at_length(seeds, tmp_path, seed):
    """20,000 more of them."""
    assert check_mutants(seeds, 5000, 100 + seed, tmp_path) > 2500


def test_every_bit_of_the_first_page_head(seeds, tmp_path):
    """Each bit of the database header and the table list's own header, flipped alone."""
    value, data = seeds["memit"]
    place = tmp_path / "x.memlab"
    for bit in range(108 * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        place.write_bytes(damaged)
        assert value_or_none(place, f"bit {bit}") in (None, value)


def test_every_length(seeds, tmp_path):
    """A capture cut at any of 400 lengths is refused."""
    _, data = seeds["snapshot"]
    place = tmp_path / "x.memlab"
    for length in np.linspace(0, len(data) - 1, 400).astype(int):
        place.write_bytes(data[:length])
        with pytest.raises(CaptureError):
            load(place)


# -- damage inside valid checks


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    INT64,
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.text(st.characters(categories=["Cs", "Cc"]), max_size=3),
    st.sampled_from(["leak", "module", "time_s", "nan", "\x1b[2J", "x" * 70_000, "<script>"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["array", "float", "time_s", "frames", "", "x"]), inner, max_size=3),
        st.builds(
            lambda name: {"array": name}, st.sampled_from(["time_s", "starts", "none", "series/time_s"])
        ),
        st.builds(lambda text: {"float": text}, st.sampled_from(["nan", "inf", "-inf", "1", ""])),
        st.builds(lambda value, times: nested(value, times), inner, st.sampled_from([3, 30, 70])),
    ),
    max_leaves=6,
)
ARRAYS = st.one_of(
    st.lists(INT64, max_size=6).map(lambda v: np.array(v, "<i8")),
    st.lists(st.floats(), max_size=6).map(lambda v: np.array(v, "<f8")),
    st.lists(st.integers(0, 3), max_size=6).map(lambda v: np.array(v, "<i4")),
    *(
        st.lists(st.one_of(st.integers(0, 6), st.integers(0, top)), max_size=8).map(
            lambda v, dtype=dtype: np.array(v, dtype)
        )
        for dtype, top in (("<u4", 2**32 - 1), ("<u8", 2**64 - 1), ("|u1", 255))
    ),
    st.lists(st.text(st.characters(codec="ascii"), max_size=2), max_size=3).map(lambda v: np.array(v, "<U2")),
)


def nested(value, times):
    for _ in range(times):
        value = [value]
    return value


def places(node, path=()):
    """Every place in a JSON tree, as keys from the root."""
    yield path
    if isinstance(node, dict | list):
        for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places(inner, (*path, key))


def replaced(tree, path, value, how):
    if not path:
        return value
    tree = copy.deepcopy(tree)
    node = tree
    for key in path[:-1]:
        node = node[key]
    if how == "drop":
        del node[path[-1]]
    elif how == "double" and isinstance(node, list):
        node.append(node[path[-1]])
    else:
        node[path[-1]] = value
    return tree


@pytest.mark.parametrize("kind", KINDS)
def test_damage_inside_valid_checks_is_a_value_or_refused(kind, tmp_path):
    """Wrong types, lengths, indexes and depths: a refusal, or a value that saves, loads and shows."""
    tree, arrays = parts_of(samples()[kind])
    if kind == "timeline":
        arrays = {name: array[:5] for name, array in arrays.items()}
    everywhere = list(places(tree))

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(st.data())
    def attack(data):
        hurt, columns = tree, dict(arrays)
        for _ in range(data.draw(st.integers(0, 2))):
            path = data.draw(st.sampled_from(everywhere))
            how = data.draw(st.sampled_from(["set", "set", "drop", "double"]))
            # The place may have gone with an earlier change.
            with contextlib.suppress(KeyError, IndexError, TypeError):
                hurt = replaced(hurt, path, data.draw(JSON), how)
        if columns and data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(columns)))
            columns[name] = data.draw(ARRAYS)
        outcome(tmp_path, kind, hurt, columns)

    attack()


@pytest.mark.parametrize("figure", ["nan", "inf", "-inf", 5e-324])
@pytest.mark.parametrize("kind", KINDS)
def test_no_figure_that_is_no_number_breaks_a_view(kind, figure, tmp_path):
    """NaN and the infinities are floats like any other to the codec; each place takes each in turn."""
    tree, arrays = parts_of(samples()[kind])
    value = {"float": figure} if type(figure) is str else figure
    for path in places(tree):
        if type(at(tree, path)) is float:
            outcome(tmp_path, kind, replaced(tree, path, value, "set"), dict(arrays))


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def outcome(folder, kind, tree, arrays):
    """Load a forged capture; a value must be as good as any other."""
    place = forge(folder / "x.memlab", kind, json.dumps(tree).encode(), arrays)
    value = value_or_none(place, kind)
    if value is not None:
        save(value, folder / "again.memlab")
        assert load(folder / "again.memlab") == value
        json.dumps(value.to_dict(), allow_nan=False)
        assert all(line.isprintable() for line in str(value).splitlines())
        assert value._repr_mimebundle_().keys() == {"text/plain", "text/html"}
    return value


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.sampled_from(sorted(KINDS)), JSON)
def test_any_json_at_all_is_a_value_or_refused(kind, tree):
    """Trees that were never a record's."""
    with tempfile.TemporaryDirectory() as folder:
        outcome(Path(folder), kind, tree, {})


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_in_sound_records_is_kept(kind, tmp_path):
    """Markup, control characters and odd scripts are data: they come back as they were."""

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(results(KINDS[kind]))
    def kept(value):
        save(value, tmp_path / "x.memlab")
        assert load(tmp_path / "x.memlab") == value

    kept()


HEAP_KINDS = [kind for kind in KINDS if "heap" in kind or kind in ("freed", "holdings")]


@pytest.mark.parametrize("kind", HEAP_KINDS)
def test_any_sound_result_of_the_heap_is_shown(kind):
    """Counts and sizes at the ends of their ranges, loops, no roots, hostile names: views bear all of it."""

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(results(KINDS[kind]))
    def shown(value):
        assert all(line.isprintable() for line in str(value).splitlines())
        assert value._repr_mimebundle_().keys() == {"text/plain", "text/html"}
        json.dumps(value.to_dict(), allow_nan=False)

    shown()


# -- in a child with little memory, watched


FORBIDDEN = (
    "exec",
    "compile",
    "marshal.",
    "pickle.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "ctypes.",
    "socket.",
    "shutil.",
    "sqlite3.enable_load_extension",
    "sqlite3.load_extension",
)


def in_child(action):
    """Run ``action`` in a forked child; return what it says and how it ended."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside a helper thread of a test tool
        child = os.fork()
    if child == 0:
        text, code = "", 1
        try:
            os.close(reader)
            text = action()
            code = 0
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, text.encode("utf-8", "backslashreplace")[:4000])
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as pipe:  # noqa: PTH123 - a descriptor, no path
        text = pipe.read().decode()
    return text, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is a promise on Linux only")
def test_in_little_memory_nothing_runs_and_nothing_else_is_opened(seeds, tmp_path):
    """500 damaged captures in 128 MiB beyond what the process has: no crash, and no code runs."""
    import resource

    place = tmp_path / "x.memlab"
    place.write_bytes(seeds["timeline"][1])
    load(place)  # what is imported late is imported now
    events = []
    watching = False

    def audit(event, arguments):
        if not watching:
            return
        strange_open = event == "open" and Path(os.fsdecode(arguments[0])) != place
        strange_base = event == "sqlite3.connect" and "x.memlab?mode=ro&immutable=1" not in str(arguments[0])
        if event.startswith(FORBIDDEN) or event == "import" or strange_open or strange_base:
            events.append((event, str(arguments)[:100]))

    def action():
        nonlocal watching
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        bound = used + 128 * MIB
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
        sys.addaudithook(audit)
        refused = 0
        for data, _, what in mutants(seeds, 500, 7):
            place.write_bytes(data)
            watching = True
            try:
                refused += value_or_none(place, what) is None
            finally:
                watching = False
            assert events == [], what
        return str(refused)

    text, code = in_child(action)
    assert code == 0, text
    assert int(text) > 250


IN_LITTLE_ROOM = """
import resource, sys
from pathlib import Path
import memlab

big, small = sys.argv[1:]
memlab.load(small)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 40 * 2**20,) * 2)
try:
    memlab.load(big)
except memlab.CaptureError as error:
    memlab.load(small)
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is a promise on Linux only")
def test_a_capture_that_does_not_fit_in_memory_says_so(tmp_path):
    """A sound capture larger than the process may hold is one error, and the next load works."""
    big, small = tmp_path / "big.memlab", tmp_path / "small.memlab"
    save(Timeline(np.arange(6_000_000.0), {}), big)
    save(samples()["memit"], small)
    # A process of its own: a fork of this one may have that much free in its heap.
    command = [sys.executable, "-c", IN_LITTLE_ROOM, big, small]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("big.memlab does not fit in memory"), done.stderr
