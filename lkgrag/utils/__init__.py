"""What every room may use: files, locks, the terminal, failures of the machine, other people's code.

Nothing here knows what lkgrag is for; a module of this room imports :mod:`lkgrag.errors` and its
neighbours only.
"""
