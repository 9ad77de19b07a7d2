"""What every room may use: files, locks, the terminal, errors of the machine, custom classes.

Nothing here knows what lkgrag is for. A module of this room imports only :mod:`lkgrag.errors` and its
neighbours.
"""
