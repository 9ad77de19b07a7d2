"""The retriever ``text``: items and users as vectors that are learned from words."""
