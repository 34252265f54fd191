# SPDX-License-Identifier: Apache-2.0
"""Sphinx's configuration for `make docs`. Nothing is fetched, neither by it nor by a reader."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "pfstatus"
copyright = "the pfstatus authors, Apache-2.0"  # noqa: A001 - Sphinx's name for it
version = release = installed_version("pfstatus")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "pfstatus_docs"]
exclude_patterns = ["_ext"]
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 72
c_maximum_signature_line_length = 72
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "pfstatus"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0969da",
        "color-brand-content": "#0969da",
        "color-code-background": "#f6f8fa",
        "color-api-name": "#0550ae",
        "color-api-pre-name": "#59636e",
    },
    "dark_css_variables": {
        "color-brand-primary": "#58a6ff",
        "color-brand-content": "#58a6ff",
        "color-code-background": "#1c2128",
        "color-api-name": "#79c0ff",
        "color-api-pre-name": "#9198a1",
    },
}
pygments_style = "default"
pygments_dark_style = "github-dark"
