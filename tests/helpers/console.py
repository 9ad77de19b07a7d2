"""The console command ``lkgrag`` as an installation writes it, for a package that is not installed."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT)!r})
from lkgrag.cli.console import main
if __name__ == "__main__":
    sys.exit(main())
"""


def write_program(folder):
    """Write an executable ``lkgrag`` into a new folder."""
    folder.mkdir()
    (folder / "lkgrag").write_text(PROGRAM, encoding="utf-8")
    (folder / "lkgrag").chmod(0o755)
