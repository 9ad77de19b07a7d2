"""From a reader's tables to what sequences are made of: checked, typed, filtered, joined.

``columns.py`` reads ids, numbers and times and names the line of a bad value. ``filters.py`` drops
duplicates, low ratings, and users and items with too few interactions. ``attributes.py`` joins attributes,
links and triples with the items, and ``joins.py`` tells what joins nothing.
"""
