"""How the documents are built: Markdown pages, the rest from docstrings and from the commands."""

import re
from importlib.metadata import version as installed

from sphinx.application import Sphinx

project = "Crossfire"
author = "The Crossfire developers"
version = release = installed("crossfire-bench")

extensions = [
    "myst_parser",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx_click",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = project
default_role = "code"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

apidoc_modules = [
    {
        "path": f"../{package}",
        "destination": f"reference/api/{package}",
        "exclude_patterns": ["../bench/cli"],
        "separate_modules": True,
        "include_private": False,
        "automodule_options": {"members", "show-inheritance"},
    }
    for package in ("bench", "defenses", "imitation_learning", "leaderboard")
]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True


def readable(lines: list[str]) -> list[str]:
    """Docstrings as reStructuredText.

    What follows `Raises:` or `Args:` is a list. A paragraph that is indented after a blank line is
    code. Elsewhere, outside backticks, a bar is a norm and a star a product, never markup.
    """
    shown: list[str] = []
    part = "text"
    for before, line in zip(["start", *lines], lines, strict=False):
        indented = line.startswith("    ")
        if line in ("Raises:", "Args:"):
            part = "list"
            shown += [line, ""]
            continue
        if line.strip() and not indented:
            part = "text"
        elif line.strip() and part == "text" and not before.strip():
            part = "code"
            shown += ["::", ""]
        if part == "list" and indented:
            deeper = line.startswith("        ")
            line = f"  {line.strip()}" if deeper else f"- {line.strip()}"
        shown.append(line if part == "code" else re.sub(r"`[^`]*`|[|*]", _escaped, line))
    return shown


def _escaped(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith("`") else f"\\{match[0]}"


def setup(app: Sphinx) -> None:
    """Make every docstring readable before it is parsed."""

    def rewrite(
        app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]
    ) -> None:
        lines[:] = readable(lines)

    app.connect("autodoc-process-docstring", rewrite)
