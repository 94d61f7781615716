"""The documentation site: `make docs` builds it, `make docs-serve` shows it.

The source folder is the root of the repository, so that a link in a page leads to the same file here, on a code host
and on the site. Building and reading need no network.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "docs" / "_extensions")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pygments.lexers.special import TextLexer  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

import pruneproof  # noqa: E402  (found through the path above)

project = "pruneproof"
author = copyright = "the pruneproof developers"
version = release = pruneproof.__version__

root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "kernels/**.md",
    "theory/**.md",
    "prune/**.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = [
    "**/.*",
    ".*",
    "build",
    "src",
    "tests",
    "bench",
    "claims",
    "report",
    "**/__pycache__",
    "docs/_*",
    "docs/results/full",
    "docs/results/standard",
]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "mathml",
    "reference_pages",
]
templates_path = [str(ROOT / "docs" / "_templates")]
nitpicky = False  # names that no inventory lists are printed without a link

# Markdown and executed tutorials
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "docs" / "executed")
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

# The reference, from docstrings
default_role = "code"
autosummary_ignore_module_all = False
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 80
python_display_short_literal_types = True

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"pruneproof {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra"]  # sends a reader of the top folder to the start page
html_math_renderer = "mathml"
html_copy_source = html_show_sourcelink = False
html_sidebars = {f"docs/{page}": [] for page in ("install", "which_method", "glossary", "faq", "results/README")}
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 4,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def setup(app: Sphinx) -> None:
    """Print tables of numbers as they are."""
    app.add_lexer("csv", TextLexer)
