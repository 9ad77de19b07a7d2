"""Formulas as MathML, made when the pages are built: readers need neither a network nor scripts."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

log = logging.getLogger(__name__)
NAME = "mathml"
_TO_MATHML = LatexToMathML()
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def to_mathml(latex: str, node: nodes.Element, display: bool) -> str:
    """MathML of a formula; a formula that cannot be read is a warning, which fails the build."""
    source = latex.strip()
    if display and (r"\\" in source or "&" in source) and r"\begin{" not in source:
        source = rf"\begin{{aligned}} {source} \end{{aligned}}"
    try:
        return _TO_MATHML.convert_with_local_state(source, displaystyle=display)
    except LatexError as error:
        reason = " ".join(_COLOUR.sub("", str(error)).split())
        log.warning("formula %r: %s", source, reason, location=node)
        return f"<code>{source}</code>"


def inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within text."""
    self.body.append(f'<span class="math">{to_mathml(node.astext(), node, False)}</span>')
    raise nodes.SkipNode


def block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula of its own line."""
    self.body.append(f'<div class="math-block">{to_mathml(node.astext(), node, True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the renderer known; ``html_math_renderer = "mathml"`` chooses it."""
    app.add_html_math_renderer(NAME, (inline, None), (block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
