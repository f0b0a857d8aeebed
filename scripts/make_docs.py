"""Make the documentation as a folder of HTML pages that open offline: docs/, and a reference of every name.

    .venv/bin/python scripts/make_docs.py out/docs

The pages in docs/ are plain Markdown, read as they are in the repository too. Here they are copied to a
folder of their own, the reference is written beside them from the public names (its text is the docstrings'),
and Sphinx makes HTML of both. A warning ends it: a broken link, or markup in a docstring that does not parse.
"""
# ruff: noqa: INP001, T201 - a script, which prints

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Read in the repository's root, linked to from docs/.
ROOT_PAGES = ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
FUNCTIONS, ERRORS = "Functions", "Errors"
# Which page of the reference a class is on: by the module it is at home in; the first that fits.
GROUPS = (
    ("leaks", "Leaks", ("leak", "fix_check", "verify_fix")),
    ("heap", "The heap and who holds what", ("heap", "chain", "holdings", "references")),
    (
        "snapshots",
        "Snapshots, differences and flame graphs",
        ("snapshot", "records.sites", "flame", "engines", "native", "lab.profiler"),
    ),
    ("recordings", "Recordings and timelines", ("capture", "timeline", "live", "cell_ledger", "where")),
    ("measuring", "Measuring", ("memit", "line_profile")),
    ("collector", "The collector", ("gc_",)),
    ("pools", "Pools and caches", ("pool", "cache", "reuse")),
    ("pressure", "Pressure, alerts and the guard", ("pressure", "alerts", "guard", "scenarios", "monitor")),
    ("benchmarks", "Benchmarks and regressions", ("bench", "baseline", "lab_book", "regression")),
    ("report", "Reports", ("report",)),
)


def public_names() -> dict[str, list[str]]:
    """Return the public names by the page of the reference that they are on."""
    import memlab

    pages: dict[str, list[str]] = {"functions": [], "errors": [], **{key: [] for key, _, _ in GROUPS}}
    for name in memlab.__all__:
        value = getattr(memlab, name)
        if name == "__version__":
            continue
        if not isinstance(value, type):
            pages["functions"].append(name)
        elif issubclass(value, memlab.MemlabError):
            pages["errors"].append(name)
        else:
            home = value.__module__
            pages[next(key for key, _, words in GROUPS if any(word in home for word in words))].append(name)
    return pages


def reference(folder: Path) -> None:
    """Write the pages of the reference."""
    titles = {
        "functions": "Functions",
        **{key: title for key, title, _ in GROUPS},
        "errors": "Errors",
        "testing": "Objects of known memory",
    }
    folder.mkdir()
    pages = public_names()
    for key, title in titles.items():
        if key == "testing":
            body = [".. automodule:: memlab.testing\n"]
        elif key == "functions":
            body = [f".. autofunction:: memlab.{name}\n" for name in pages[key]]
        else:
            body = [f".. autoclass:: memlab.{name}\n" for name in pages[key]]
        text = f"{title}\n{'=' * len(title)}\n\n.. currentmodule:: memlab\n\n" + "\n".join(body)
        (folder / f"{key}.rst").write_text(text, encoding="utf-8")
    lines = [
        "# Reference",
        "",
        "Every public name, from its docstring. `import memlab` offers all of them.",
        "",
    ]
    lines += ["```{toctree}", *titles, "```", ""]
    (folder / "index.md").write_text("\n".join(lines), encoding="utf-8")


def sources(folder: Path) -> None:
    """Put together what the pages are made of."""
    for path in sorted((ROOT / "docs").rglob("*")):
        inner = path.relative_to(ROOT / "docs")
        if path.is_file() and inner.parts[0] != "site":
            (folder / inner).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / inner)
    for name in ROOT_PAGES:
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "docs" / "site" / "conf.py", folder / "conf.py")
    for path in folder.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        for name in ROOT_PAGES:  # they have moved one folder down, among the pages that link to them
            text = text.replace(f"](../{name}", f"]({name}")
        if path.name in ROOT_PAGES:
            text = text.replace("](docs/", "](")
        text = text.replace("](decisions/)", "](decisions/index.md)")
        path.write_text(_outside(text), encoding="utf-8")
    reference(folder / "reference")
    _contents(folder)


def _outside(text: str) -> str:
    """Make plain text of links to files that are no pages: the code, the notebooks, the data."""
    return re.sub(
        r"\[([^\]]+)\]\((?:\.\./)?(?:data|notebooks|benchmarks|memlab|tests|scripts)/[^)]*\)", r"\1", text
    )


def _contents(folder: Path) -> None:
    """Add the list of pages, in the order of docs/index.md, that the side bar shows."""
    index = folder / "index.md"
    text = index.read_text(encoding="utf-8")
    decisions = sorted(path.stem for path in (folder / "decisions").glob("[0-9]*.md"))
    listing = "\n".join(["# Decisions", "", "```{toctree}", *decisions, "```", ""])
    (folder / "decisions" / "index.md").write_text(listing, encoding="utf-8")
    for heading in ("To do something", "To look something up", "To know why"):
        part = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        pages = [page.removesuffix(".md") for page in re.findall(r"\]\(([\w/.-]+\.md)", part)]
        if heading == "To do something":
            pages.insert(0, "tour")
        if heading == "To look something up":
            pages.append("reference/index")
        if heading == "To know why":
            pages += [Path(name).stem for name in ROOT_PAGES if Path(name).stem not in pages]
        toctree = [
            "",
            "```{toctree}",
            ":hidden:",
            f":caption: {heading}",
            "",
            *dict.fromkeys(pages),
            "```",
            "",
        ]
        text += "\n".join(toctree)
    index.write_text(text, encoding="utf-8")


def build(target: Path, builder: str = "html") -> int:
    """Make the pages; 0 when all is well, and Sphinx's exit code otherwise."""
    from sphinx.cmd.build import build_main

    with tempfile.TemporaryDirectory() as folder:
        sources(Path(folder))
        shutil.rmtree(target, ignore_errors=True)
        code = build_main(
            ["-q", "-W", "--keep-going", "-b", builder, "-d", f"{folder}/.doctrees", folder, str(target)]
        )
    # Sphinx copies the pictures of Markdown, not those of an <img> that says its width.
    shutil.copytree(ROOT / "docs" / "images", target / "images", dirs_exist_ok=True)
    for left in (".buildinfo", "objects.inv"):
        (target / left).unlink(missing_ok=True)
    return code


def main(arguments: list[str]) -> int:
    """Make the pages in the folder that is named, out/docs if none is."""
    target = Path(arguments[0]) if arguments else ROOT / "out" / "docs"
    code = build(target)
    if code == 0:
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        print(f"{target}: {len(list(target.rglob('*.html')))} pages, {size / 2**20:.1f} MiB; open index.html")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
