"""The house around the package: files that must stay in step, and what must never be in one."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import memlab

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CASES = sorted((ROOT / "data" / "leaks").glob("*/*/case.toml"))
EXPECTED = {
    "py": ("bad", "good", "culprit_types", "culprit_where", "holder", "growth_per_iteration"),
    "native": ("bad", "good", "culprit_where", "culprit_lines", "visible_in", "growth_per_iteration"),
    "control": ("requires", "grows", "why_flagged", "leak"),
    "control-native": ("good", "cause", "control"),
}


def script(name):
    """Import one of scripts/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tracked():
    """Every text file that is, or is about to be, in git."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    texts = {}
    for name in filter(None, names):
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png", ".gz"}:
            texts[name] = path.read_text(encoding="utf-8")
    assert "pyproject.toml" in texts
    return texts


def test_environment_yml_is_what_pyproject_makes():
    """environment.yml is exactly what scripts/make_environment.py makes of pyproject.toml."""
    made = script("make_environment").environment_yml((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == made


def test_environment_yml_names_every_requirement_once():
    """Read as YAML, environment.yml holds each run-time and notebook requirement with its lower bound."""
    yaml = pytest.importorskip("yaml")
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert set(environment) == {"name", "channels", "dependencies"}
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-e ."]}
    listed = {r.name.replace("_", "-"): str(r.specifier) for r in map(Requirement, conda)}
    wanted = PYPROJECT["project"]["dependencies"] + PYPROJECT["project"]["optional-dependencies"]["notebook"]
    assert listed == {
        "python": PYPROJECT["project"]["requires-python"],
        "pip": "",
        **{r.name: str(r.specifier) for r in map(Requirement, wanted)},
    }


def test_the_lock_pins_every_requirement_by_hash_and_names_no_index():
    """requirements.lock satisfies pyproject.toml, each line pinned and hashed, and holds no address."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--index" not in lock
    entries = re.split(r"\n(?=[a-z])", lock.strip())
    pins = {}
    for entry in entries:
        requirement = Requirement(entry.partition("\\")[0].strip())
        assert [s.operator for s in requirement.specifier] == ["=="], entry[:60]
        assert "--hash=sha256:" in entry, entry[:60]
        pins.setdefault(requirement.name, []).append(next(iter(requirement.specifier)).version)
    extras = PYPROJECT["project"]["optional-dependencies"]
    for line in [*PYPROJECT["project"]["dependencies"], *extras["notebook"], *extras["dev"]]:
        requirement = Requirement(line)
        assert requirement.name in pins, f"{requirement.name} is not locked: run `make lock`"
        assert all(requirement.specifier.contains(v) for v in pins[requirement.name]), line


def test_no_file_names_the_machine_it_was_written_on(tracked):
    """No tracked file holds this checkout's path, this user's home, or a package index's address."""
    home = str(Path.home()) + "/"
    indexes = ("--index" + "-url", "--extra-index" + "-url", "/simple/", "python" + "hosted")
    found = [
        (name, bad)
        for name, text in tracked.items()
        for bad in (str(ROOT), home, *indexes)
        if bad in text and name != "tests/unit/test_project.py"
    ]
    assert found == []


def test_text_files_end_with_one_newline_and_hold_no_tabs_or_carriage_returns(tracked):
    """Tracked text is tidy, so that diffs show only what changed."""
    sloppy = [
        name
        for name, text in tracked.items()
        if text and (not text.endswith("\n") or "\r" in text or ("\t" in text and name != "Makefile"))
    ]
    assert sloppy == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_source(path):
    """A notebook in git is exactly what scripts/strip_notebooks.py leaves, with unique fixed cell ids."""
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    tool = script("strip_notebooks")
    assert tool.as_text(tool.stripped(notebook)) == text
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code[0]["metadata"]["tags"] == ["parameters"]
    assert re.search(r"^assert ", "".join(code[-1]["source"]), re.MULTILINE), (
        "the last cell asserts the finding"
    )


def test_there_are_notebooks_to_check():
    """The notebooks the README names exist."""
    assert {"00-start-here", "01-find-a-leak"} <= {path.stem for path in NOTEBOOKS}


def test_strip_notebooks_takes_out_outputs_counts_and_local_metadata():
    """Stripping removes what a run leaves, keeps source, ids and tags, and is idempotent."""
    tool = script("strip_notebooks")
    used = {
        "cells": [
            {
                "cell_type": "code",
                "id": "a",
                "metadata": {"tags": ["parameters"], "trusted": True},
                "execution_count": 3,
                "outputs": [{"output_type": "stream", "name": "stdout", "text": "secret"}],
                "source": "x = 1\ny = 2",
            },
            {"cell_type": "markdown", "metadata": {}, "source": ["# Title"]},
        ],
        "metadata": {"kernelspec": {"name": "my-env"}, "widgets": {"state": {}}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    clean = tool.stripped(used)
    assert "secret" not in tool.as_text(clean)
    assert clean["cells"][0] == {
        "cell_type": "code",
        "execution_count": None,
        "id": "a",
        "metadata": {"tags": ["parameters"]},
        "outputs": [],
        "source": ["x = 1\n", "y = 2"],
    }
    assert clean["cells"][1]["id"] == "cell-01"
    assert clean["metadata"]["kernelspec"]["name"] == "python3"
    assert tool.stripped(clean) == clean


def test_the_corpus_is_all_there():
    """Every folder of the corpus is a case, with its two files and nothing else."""
    folders = [p for kind in EXPECTED for p in (ROOT / "data" / "leaks" / kind).iterdir() if p.is_dir()]
    assert sorted(p / "case.toml" for p in folders) == CASES
    assert len(CASES) >= 20
    for folder in folders:
        files = {p.name for p in folder.iterdir() if p.name != "__pycache__"}
        assert files == {"case.toml", "workload.py"}, folder


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.parent.name}/{p.parent.name}")
def test_corpus_cases_are_well_formed(path):
    """A case names its package, exact versions and its truth, and its workload defines ``step``."""
    case = tomllib.loads(path.read_text(encoding="utf-8"))
    kind = path.parent.parent.name
    assert [key for key in ("name", "package", "python", *EXPECTED[kind]) if key not in case] == []
    for requirement in [*case.get("bad", ()), *case.get("good", ()), *case.get("requires", ())]:
        assert [s.operator for s in Requirement(requirement).specifier] == ["=="], requirement
    if kind in ("py", "native"):
        assert case["bad"] != case["good"]
    growth = case.get("growth_per_iteration")
    if kind == "py":
        assert growth["objects"] > 0
    elif kind == "native":
        assert growth > 0
    source = path.with_name("workload.py").read_text(encoding="utf-8")
    defined = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert "step" in defined
    # The right answers for a native case are lines of its own step.
    assert [line for line in case.get("culprit_lines", ()) if line not in source] == []


@pytest.mark.parametrize("name", memlab.__all__)
def test_every_public_name_can_be_imported(name):
    """Each name in ``memlab.__all__`` resolves, is documented, and is listed by ``dir``."""
    value = getattr(memlab, name)
    assert name in dir(memlab)
    if name != "__version__":
        assert (getattr(value, "__doc__", None) or "").strip()


def test_public_names_are_sorted_and_their_homes_are_known():
    """``__all__`` holds each name once and the lazy table has no name that is not public."""
    assert len(set(memlab.__all__)) == len(memlab.__all__)
    assert set(memlab._HOME) <= set(memlab.__all__)


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name fails as on any module."""
    with pytest.raises(AttributeError, match="find_leak'"):
        memlab.find_leak


def test_the_version_is_the_metadata_s():
    """``memlab.__version__`` and pyproject.toml agree."""
    assert memlab.__version__ == PYPROJECT["project"]["version"]


def test_import_brings_nothing_heavy(record_property):
    """``import memlab`` imports no third-party package and no store, so its cost cannot creep up."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import import_cost
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    modules = import_cost.new_modules()
    third_party = {m.partition(".")[0] for m in modules} - set(sys.stdlib_module_names) - {"memlab"}
    assert "memlab" in modules
    assert third_party == set()
    assert set(modules).isdisjoint({"sqlite3", "asyncio", "multiprocessing"})
    # The time is reported and decides nothing: the machine may be busy.
    bare, importing = import_cost.import_seconds(turns=3)
    record_property("import_ms", round(1e3 * (importing - bare), 1))
    print(f"import memlab: {1e3 * (importing - bare):+.1f} ms over bare Python")


def test_make_lists_every_target():
    """``make`` alone prints each documented target, and each phony target has its line."""
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    printed = subprocess.run(
        ["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    ).stdout
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split())
    assert set(re.findall(r"^  make (\S+)", printed, re.MULTILINE)) == phony
    promised = {"demo", "test", "lab", "check", "bench", "test-all", "test-long", "html", "clean", "format"}
    assert promised <= phony


def test_make_refuses_an_old_python_with_the_remedy(tmp_path):
    """With a Python that is too old, make stops with one clear message before it makes anything."""
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n')
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    result = subprocess.run(
        ["make", "demo", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "needs Python 3.11 or newer" in result.stdout
    assert "Python 3.9.1" in result.stdout
    assert "PYTHON=" in result.stdout
    assert not (tmp_path / ".venv").exists()


def test_uv_is_told_what_pip_is_told():
    """scripts/install.py hands pip's indexes, certificates and patience on; the later section counts."""
    tool = script("install")
    listed = """\
:env:.disable-pip-version-check='1'
:env:.find-links='/one /two'
global.cert='/etc/cert.pem'
global.find-links='/never'
global.index-url='file:///main'
global.extra-index-url='file:///a\\nfile:///b'
install.timeout='9'
download.timeout='1'
"""
    assert tool.uv_settings(listed) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/one,/two",
        "SSL_CERT_FILE": "/etc/cert.pem",
        "UV_DEFAULT_INDEX": "file:///main",
        "UV_INDEX": "file:///a file:///b",
        "UV_HTTP_TIMEOUT": "9",
    }


@pytest.mark.parametrize("line", ["global.no-index='true'", "install.only-binary=':all:'", "global.pre='1'"])
def test_what_uv_has_no_word_for_is_left_to_pip(line):
    """A setting of pip that changes what is installed, and is not handed on, keeps uv out."""
    assert script("install").uv_settings(line + "\n") is None


@pytest.mark.parametrize(
    "source", sorted((ROOT / "memlab" / "_native").glob("*.c")), ids=lambda path: path.stem
)
def test_no_macro_of_the_headers_counts_references(source):
    """What is built with 3.12's headers or later runs on 3.11 too, where None must be counted.

    ``sites`` is built for each Python by its own headers: its file says so by reaching into the interpreter.
    """
    code = re.sub(r"/\*.*?\*/", "", source.read_text(encoding="utf-8"), flags=re.DOTALL)
    if "Py_BUILD_CORE_MODULE" in code:
        assert source.stem == "sites"
        return
    assert re.findall(r"\bPy_(?:RETURN_\w+|X?(?:INCREF|DECREF)|NewRef)\b", code) == []
