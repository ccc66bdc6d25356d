"""Sphinx: the documentation as pages that need no network, neither to be built nor to be read."""

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "bptt"
author = "the bptt authors"
copyright = author  # noqa: A001
release = importlib.metadata.version("bptt")
html_title = "bptt"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "generated",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints", "examples/*.toml", "systems/README.md"]
highlight_language = "text"
default_role = "code"
nitpicky = False

# Pages are Markdown, as GitHub shows it too; notebooks come with their outputs, and tests run them again.
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
myst_fence_as_directive = ["math"]
nb_execution_mode = "off"
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["own.css"]
html_js_files = ["own.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"svg": {"fontCache": "global"}}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

_font = 'Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif'
html_theme_options = {
    "light_css_variables": {
        "font-stack": _font,
        "font-stack--headings": _font,
        "color-brand-primary": "#1f3a5f",
        "color-brand-content": "#1f4f8f",
        "color-brand-visited": "#5a3f86",
    },
    "dark_css_variables": {
        "color-brand-primary": "#9fc0ea",
        "color-brand-content": "#9fc0ea",
        "color-brand-visited": "#c3aee8",
    },
}
