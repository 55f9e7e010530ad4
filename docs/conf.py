"""How the documentation is built: `make docs`."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # rule_figures draws the figures of the rules

project = "Evenflow"
author = "The Evenflow authors"
release = installed_version("evenflow")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "rule_figures"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signatures of frozen data are long; the argument lists say the same in words
napoleon_google_docstring = True
html_theme = "furo"
html_title = "Evenflow"
suppress_warnings = ["myst.xref_missing"]
