"""The command line: what all commands share, and how they read the values of their options.

Nothing heavy is imported here, so that ``--help`` and an unknown key answer at once.
"""

from lkgrag.cli.arguments import check_options, parse_list, switch, whole_number
from lkgrag.cli.command import FLAGS, Command, fail, help_text, parse, prepare_environment, run

__all__ = [
    "FLAGS",
    "Command",
    "check_options",
    "fail",
    "help_text",
    "parse",
    "parse_list",
    "prepare_environment",
    "run",
    "switch",
    "whole_number",
]
