"""The console command as a module: ``python -m lkgrag train`` is ``lkgrag train``."""

import sys

from lkgrag.cli.console import main

if __name__ == "__main__":
    sys.exit(main())
