"""The service: a saved ranker behind HTTP, with a JSON API and a page for people.

Nothing is imported here: the command's ``--help`` waits for no library.
"""
