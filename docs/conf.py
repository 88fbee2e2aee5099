"""Sphinx configuration: Markdown pages, docstrings, and one bibliography."""

import sys
from pathlib import Path

import xiqa

sys.path.insert(0, str(Path(__file__).parent))  # the extension `modules`

project = "xiqa"
author = "The xiqa authors"
copyright = "2026, the xiqa authors"
version = release = xiqa.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinxcontrib.bibtex",
    "modules",
]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_class_signature = "separated"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "xiqa"
exclude_patterns = ["_build", "model-attempts.md"]  # the latter is part of the card's page
# The README is included as the first page; its links are relative to the repository.
suppress_warnings = ["myst.xref_missing"]
