"""The search for all instances of the meta-paths."""
