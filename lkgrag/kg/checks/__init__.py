"""What a graph knows: whether its edges follow from training alone, and which relations know the answer.

``leaks.py`` counts the edges of relation sources again, ``reach.py`` measures how often a relation leads to
the true item, and ``audit.py`` gives a verdict on every relation.
"""
