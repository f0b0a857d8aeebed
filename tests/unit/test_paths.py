"""File names as labels: short, the same on every machine, and without a user's name in them."""

from __future__ import annotations

import json.decoder
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import memlab._base.units
from memlab._base.paths import PathLabels

HOME = Path("/home/somebody")
ROOT = HOME / "work" / "project"
SITE = sysconfig.get_paths()["purelib"]


@pytest.fixture
def labels():
    return PathLabels({"/tmp/ipykernel_7/99.py": "Cell In[3]"}, root=str(ROOT))


@pytest.mark.parametrize(
    ("filename", "label"),
    [
        (str(ROOT / "app" / "registry.py"), "app/registry.py"),
        (str(ROOT / "app" / ".." / "main.py"), "main.py"),
        (json.decoder.__file__, "json/decoder.py"),
        (np.__file__, "numpy/__init__.py"),
        (str(Path(SITE, "somepackage", "core.py")), "somepackage/core.py"),
        ("/tmp/ipykernel_7/99.py", "Cell In[3]"),
        ("<string>", "<string>"),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
        (str(HOME / "secret" / "notes.py"), "notes.py"),
        (str(HOME / "work" / "project2" / "x.py"), "x.py"),
        ("/etc/x\ny.py", "x\\ny.py"),
    ],
)
def test_a_file_is_named_relative_to_where_it_belongs(labels, filename, label):
    """Project, standard library and packages are relative; a cell is its alias; others lose their folder."""
    assert labels.label(filename) == label


@pytest.mark.parametrize(
    ("filename", "own"),
    [
        (str(ROOT / "app" / "registry.py"), True),
        (str(HOME / "other" / "x.py"), True),
        ("/tmp/ipykernel_7/99.py", True),
        ("<string>", False),
        (json.decoder.__file__, False),
        (np.__file__, False),
        (str(Path(SITE, "somepackage", "core.py")), False),
        (memlab._base.units.__file__, False),
    ],
)
def test_the_users_own_files_are_those_of_no_library(labels, filename, own):
    """Installed code and memlab itself are not the user's; a notebook cell is."""
    assert labels.is_own(filename) is own


def test_the_working_directory_is_the_default_root(tmp_path, monkeypatch):
    """A relative name means a file under the working directory."""
    monkeypatch.chdir(tmp_path)
    assert PathLabels().label("pkg/mod.py") == "pkg/mod.py"
    assert PathLabels().label(str(tmp_path / "pkg" / "mod.py")) == "pkg/mod.py"


def test_site_packages_inside_the_project_are_still_a_library(tmp_path):
    """An environment in the project's folder does not make its packages the user's."""
    root = str(Path(SITE).parent)
    labels = PathLabels(root=root)
    assert labels.label(str(Path(SITE, "pkg", "a.py"))) == "pkg/a.py"
    assert not labels.is_own(str(Path(SITE, "pkg", "a.py")))


def test_an_alias_cannot_steer_a_terminal():
    """Aliases are cleaned like any other text."""
    assert PathLabels({"x": "\x1b[2J"}).label("x") == "\\x1b[2J"


@given(
    st.lists(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), max_size=4
    )
)
def test_the_home_folder_never_shows(parts):
    """Of a file under a home folder, in neither the project nor a package, the last part alone is left."""
    filename = "/".join([str(HOME), *parts, "x.py"])
    assert PathLabels(root=str(ROOT)).label(filename) == "x.py"
