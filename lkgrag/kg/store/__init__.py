"""Graphs in a store, of which paths read rows: the protocol, ladybug's databases, and what writes them."""
