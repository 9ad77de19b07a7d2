"""The report of a run: a self-contained page, and its pictures as PNG and SVG."""

from lkgrag.report.page import PICTURES, recommendation_page, write_report
from lkgrag.report.run_data import prompt_tables
from lkgrag.utils.layout import PAGE, PROMPTS, SALIENCE

__all__ = [
    "PAGE",
    "PICTURES",
    "PROMPTS",
    "SALIENCE",
    "prompt_tables",
    "recommendation_page",
    "write_report",
]
