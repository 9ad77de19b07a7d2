"""The part of the build that pyproject.toml cannot say: README as a package index can show it."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
#: Links and pictures of Markdown: perhaps ``!``, the text, the target.
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
#: Figures are put into README between comments, which an index would show as they are.
COMMENT = re.compile(r"^<!-- .* -->\n", re.MULTILINE)


def description(text: str, source: str) -> str:
    """README with links that do not depend on the folder it lies in.

    Args:
        text: README.
        source: address of the source on a forge; if it is empty, the text of a relative link stays without its
            link, and a picture is left out.
    """
    root = source.rstrip("/")

    def link(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        if re.match(r"\w+://|#", target):
            return found[0]
        if root:
            return f"{mark}[{words}]({root}/{'raw' if mark else 'blob'}/main/{target})"
        return "" if mark else words

    return COMMENT.sub("", LINK.sub(link, text))


if __name__ == "__main__":
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    setup(
        long_description=description(
            (HERE / "README.md").read_text(encoding="utf-8"),
            project.get("urls", {}).get("Source", ""),
        ),
        long_description_content_type="text/markdown",
    )
