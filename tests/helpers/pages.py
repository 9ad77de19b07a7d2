"""What the pages of the docs show: their blocks, and the commands in them."""

import re
import shlex


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def command_lines(page):
    """Module and arguments of each command of ours in the shell blocks of a page."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"-m (lkgrag\.\w+)([^&]*)", line)
            if found:
                words = shlex.split(found[2], comments=True)
                yield found[1], [word for word in words if word != "..."]
