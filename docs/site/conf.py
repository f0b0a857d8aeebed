"""How Sphinx makes the documentation's pages; `scripts/make_docs.py` gathers what they are made of."""

import re

from memlab import __version__

project = "memlab"
copyright = "The memlab developers"  # noqa: A001 - Sphinx's name for it
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"memlab {__version__}"
html_copy_source = False
html_show_sourcelink = False
html_static_path: list[str] = []
# Docstrings are Google's; types stand in the signatures.
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"
myst_heading_anchors = 4
myst_links_external_new_tab = False
highlight_language = "text"
# A word in a docstring that several classes have as an attribute is no link.
suppress_warnings = ["ref.python"]


def _one_field(_app, _what, _name, _obj, _options, lines):  # noqa: ANN001, ANN202 - Sphinx's hook
    """Keep `first, second: what they are` one field; Sphinx would read a type and a name."""
    for number, line in enumerate(lines):
        lines[number] = re.sub(
            r"^ +(?:\*{0,2}\w+, )+\*{0,2}\w+(?=: )", lambda names: names[0].replace(", ", ","), line
        )


def setup(app):  # noqa: ANN001, ANN201, D103 - Sphinx's name for it
    app.connect("autodoc-process-docstring", _one_field, priority=100)  # before napoleon
