"""Sphinx configuration: ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]
# Threads that wait by spinning slow one another down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from lkgrag import __version__  # noqa: E402

project = "lkgrag"
author = "The lkgrag authors"
copyright = "2026, the lkgrag authors"
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "mathml",
    "reference",
]
exclude_patterns = ["_build"]

# Notebooks are stored without output. The first build executes them; the builders beside it take its results.
# A change of the package alone does not execute them again: for that, delete ``docs/_build``.
nb_execution_mode = "cache"
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
# Stages are read as one text. Progress and warnings of libraries, which differ by machine, are left out.
nb_merge_streams = True
nb_output_stderr = "remove"
nb_render_markdown_format = "myst"
# Pages need no network: there are no widgets.
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "deflist", "fieldlist", "colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"lkgrag {release}"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_type_aliases = {"NDArray": "NDArray"}
python_maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Attributes are listed as fields and not as members, or dataclasses would list them twice.
napoleon_use_ivar = True
# Types with a trailing underscore would read as links.
napoleon_attr_annotations = False

# Only the pages' examples run here; those of docstrings run with the tests.
doctest_test_doctest_blocks = ""
doctest_global_setup = f"""
DOCS = {str(HERE)!r}
import os
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
torch.set_num_threads(1)
"""
