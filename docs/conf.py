"""How the documentation is built: `make docs`."""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

import plotly

HERE = Path(__file__).parent
sys.path.insert(
    0, str(HERE)
)  # extensions of ours: figures of the rules, tables of remedies and claims, formulas
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

# The guide's code runs in a kernel of its own per page: with our helpers, one thread, and the errors of Jupyter only.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
os.environ["JUPYTER_PATH"] = str(HERE)
os.environ["EVENFLOW_GUIDE"] = str(HERE / "guide")
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "Evenflow"
author = "The Evenflow authors"
release = installed_version("evenflow")
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "rule_figures",
    "remedy_tables",
    "claims_page",
    "mathml",
]
exclude_patterns = ["_build", "kernels"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "inline"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 120
nb_eval_name_regex = "^.+$"  # any expression may stand in the text
nb_merge_streams = True
nb_code_prompt_show = nb_code_prompt_hide = "The code of this figure"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signatures of frozen data are long; the argument lists say the same in words
napoleon_google_docstring = True
html_math_renderer = "mathml"
html_theme = "furo"
html_title = "Evenflow"
html_static_path = ["_static", str(PLOTLY)]
html_css_files = ["guide.css"]


def setup(app) -> None:
    """Give the pages of the guide the scripts of its figures."""

    def scripts(app, page, _template, _context, _doctree) -> None:
        if page.startswith("guide/"):
            for name in ("plotly.min.js", "guide.js"):
                app.add_js_file(name, loading_method="defer")

    app.connect("html-page-context", scripts)
