"""Redacted source: the shape of a line without what stands in its literals."""

from __future__ import annotations

import ast
import linecache
import sys

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from memlab._base.source import enclosing_function, redact, source_line

NEW_FSTRINGS = sys.version_info >= (3, 12)
SECRET = "hunter2"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("x = 1", "x = 1"),
        ("", ""),
        ("    return self.cache[key]  # TODO hunter2", "return self.cache[key]"),
        ("x = 'hunter2'", "x = '…'"),
        ("x = ''", "x = ''"),
        ('x = """"""', 'x = """"""'),
        ('x = """hunter2""" + y', 'x = """…""" + y'),
        ("x = rb'hunter2' + B\"hunter2\"", "x = rb'…' + B\"…\""),
        ("x = 'it\\'s hunter2' 'hunter2'", "x = '…' '…'"),
        ("call(a, 'hunter2',", "call(a, '…',"),
        ("x = 'a' \\", "x = '…' \\"),
        ("x = 'é漢😀hunter2' + y", "x = '…' + y"),
        ("# hunter2", ""),
        ("x = '# hunter2'  # hunter2", "x = '…'"),
        ("else:", "else:"),
        (")", ")"),
        ("x = $hunter", "x = $hunter"),
    ],
)
def test_literals_are_hollow_and_comments_gone(line, shown):
    """Prefix and quotes stay, contents and comments do not."""
    assert redact(line) == shown


@pytest.mark.parametrize(
    "line",
    [
        "x = 'hunter2",
        "x = b'hunter2",
        "x = f'hunter2",
        'x = """hunter2',
        "hunter2''' + y",
        "x = 'hunter2\\",
        "x = 'a'hunter2'",
        "x = '''hunter2' + 'y",
        "f'''hunter2{x}",
    ],
)
def test_half_a_literal_shows_nothing_of_it(line):
    """Where one line alone cannot tell code from literal, the literal's half is not shown."""
    assert SECRET not in redact(line)


@pytest.mark.parametrize(
    ("line", "old", "new"),
    [
        ("f'hunter2{name}hunter2'", "f'…'", "f'…{name}…'"),
        ("f'{name}'", "f'…'", "f'{name}'"),
        ("f'{name:>10}'", "f'…'", "f'{name:…}'"),
        ("f'{d[\"hunter2\"]}'", "f'…'", "f'{d[\"…\"]}'"),
        ("rf'hunter2{x!r}' + 'hunter2'", "rf'…' + '…'", "rf'…{x!r}' + '…'"),
    ],
)
def test_fstrings_keep_only_their_expressions(line, old, new):
    """From 3.12 on the tokenizer sees into an f-string; before, all of it is a literal."""
    assert redact(line) == (new if NEW_FSTRINGS else old)


@pytest.mark.parametrize("line", ["f'hunter2{{hunter2}}hunter2' + y", "f'{{hunter2{x}}}hunter2' + y"])
def test_doubled_braces_show_nothing(line):
    """A doubled brace is text, and the text beside it stays hidden."""
    assert SECRET not in redact(line)
    assert redact(line).endswith("' + y")


@pytest.mark.parametrize("line", ["x = 'hunter2\0'", "0x 'hunter2'", "1_'hunter2'", "\ufeff'hunter2'"])
def test_what_the_tokenizer_refuses_is_not_shown(line):
    """A line that is no Python is left out rather than shown unredacted."""
    assert SECRET not in redact(line)


def put(monkeypatch, text, name="<test source>"):
    monkeypatch.setitem(linecache.cache, name, (len(text), None, text.splitlines(keepends=True), name))
    return name


def test_source_line_knows_where_it_stands(monkeypatch):
    """A line inside a multi-line literal shows nothing of it; the code around it stays."""
    text = 'def f():\n    query = """\n    hunter2 + x\n    hunter2""" + "a"\n    return query  # hunter2\n'
    name = put(monkeypatch, text)
    lines = [source_line(name, row) for row in range(7)]
    assert lines == ["", "def f():", 'query = """…', "…", '…""" + "…"', "return query", ""]


def test_source_line_knows_multi_line_fstrings(monkeypatch):
    """An expression inside a long f-string is on a line that is mostly literal."""
    text = 'x = f"""\nhunter2 {make(1)} hunter2\nhunter2 {y}\n""" + z\n'
    name = put(monkeypatch, text)
    lines = [source_line(name, row) for row in range(1, 5)]
    assert SECRET not in "".join(lines)
    assert lines[3] == '…""" + z'
    if NEW_FSTRINGS:
        assert "{make(1)}" in lines[1]


def test_a_line_is_in_its_innermost_function(monkeypatch):
    """Classes and functions nest in the name; a line of the module's own has none."""
    text = (
        "x = 1\n"
        "class A:\n"
        "    y = 2\n"
        "    def f(self):\n"
        "        async def g():\n"
        "            return 1\n"
        "        if self:\n"
        "            def h(): return 2\n"
        "        return g\n"
        "z = 3\n"
    )
    name = put(monkeypatch, text, "<functions>")
    found = [enclosing_function(name, row) for row in range(12)]
    assert found == ["", "", "A", "A", "A.f", "A.f.g", "A.f.g", "A.f", "A.f.h", "A.f", "", ""]


def test_the_function_of_what_is_no_python_is_unknown(monkeypatch):
    """A file that is missing or does not compile names nothing, and raises nothing."""
    assert enclosing_function("/no/such/file.py", 1) == ""
    assert enclosing_function(put(monkeypatch, "def f(:\n  x\n", "<broken>"), 2) == ""


def test_source_line_of_what_is_not_there():
    """A missing file, a line past its end and line 0 are empty, not an error."""
    assert source_line("/no/such/file.py", 1) == ""
    assert source_line(__file__, 10**9) == ""
    assert source_line(__file__, 0) == ""
    assert source_line(__file__, -1) == ""


def test_source_line_reads_real_files():
    """A file on disk is read as it stands, redacted."""
    here = sys._getframe().f_lineno
    assert source_line(__file__, here) == "here = sys._getframe().f_lineno"
    assert source_line(__file__, 1) == '"""…"""'


def test_a_file_that_breaks_off_hides_what_follows(monkeypatch):
    """From the first line that cannot be followed on, nothing is shown."""
    name = put(monkeypatch, "a = 1\nb = 2\nc = '''hunter2\nhunter2 = 3\n")
    lines = [source_line(name, row) for row in range(1, 5)]
    assert lines[0] == "a = 1"
    assert SECRET not in "".join(lines)


PIECES = st.sampled_from(
    [
        "hunter2",
        "'",
        '"',
        "'''",
        '"""',
        "\\",
        "\n",
        "{",
        "}",
        "{{",
        "}}",
        "{x}",
        " ",
        "#",
        "=",
        "é",
        "😀",
        "(",
        ")",
    ]
)
LITERALS = st.builds(
    lambda prefix, quote, body: f"{prefix}{quote}{''.join(body)}{quote}",
    st.sampled_from(["", "b", "r", "f", "rb", "rf", "F", "u"]),
    st.sampled_from(["'", '"', "'''", '"""']),
    st.lists(PIECES, max_size=6),
)


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(LITERALS, min_size=1, max_size=3))
@example(["f'''hunter2{{\nhunter2}}{x}\nhunter2'''"])
@example(["f'{{hunter2{x}hunter2'", "'''\nhunter2'''"])
def test_text_inside_literals_never_survives(literals):
    """Of any program that compiles, no line shows a word that stands only inside its literals."""
    text = f"value = call({', '.join(literals)})\n"
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        assume(False)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assume(SECRET not in names)  # hunter2 between literals or inside braces is code
    shown = [redact(text)] if text.count("\n") == 1 else []
    linecache.cache["<fuzz>"] = (len(text), None, text.splitlines(keepends=True), "<fuzz>")
    try:
        shown += [source_line("<fuzz>", row) for row in range(1, text.count("\n") + 1)]
    finally:
        del linecache.cache["<fuzz>"]
    assert SECRET not in "\n".join(shown)
