"""Sphinx's settings for the book that `make book` builds from the committed notebooks."""

import os
from pathlib import Path

import latex2mathml.converter
from docutils import nodes

project = "bert4rec"
author = "the bert4rec authors"
html_title = "bert4rec"
html_theme = "sphinx_book_theme"
html_theme_options = {
    "show_toc_level": 2,
    "use_fullscreen_button": False,
    "use_download_button": True,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search stands in the sidebar
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
if _repository := os.environ.get("REPOSITORY", "").rstrip("/"):  # see docs/make_book.py
    html_theme_options |= {
        "repository_url": _repository,
        "repository_branch": "main",
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }
html_static_path = ["_static"]
html_logo = html_favicon = "_static/mark.svg"
html_css_files = ["book.css"]
html_js_files = [("frame.js", {"defer": "defer"})]
html_search_scorer = str(Path(__file__).with_name("search.js"))  # goes into the search page
html_copy_source = True  # the download button offers the notebook
html_last_updated_fmt = None

extensions = ["myst_nb", "sphinx_copybutton"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # pages show what is committed, which the tests compare with a new run
nb_merge_streams = True
suppress_warnings = ["myst.header"]  # a page may begin with a cell's heading of any level


# Formulas as MathML, which browsers draw themselves: MathJax would be fetched from elsewhere.
html_math_renderer = "mathml"


def _inline(self, node):
    self.body.append(latex2mathml.converter.convert(node.astext()))
    raise nodes.SkipNode


def _block(self, node):
    formula = latex2mathml.converter.convert(node.astext(), display="block")
    self.body.append(f'<div class="math">{formula}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
