"""Configuration of the documentation: sphinx-build -W docs docs/_build (extra `docs`)."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "flatmin"
author = "The flatmin developers"
project_copyright = "The flatmin developers"
release = version_of("flatmin")

extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc", "sphinx_click", "generated"]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = f"flatmin {release}"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# Notebooks are run at every build: what they show is what this version gives.
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True

autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
# The docstrings' single backticks are code; "shape (n,)" in the type of a field is no reference to something called n.
default_role = "code"
suppress_warnings = ["ref.python"]
