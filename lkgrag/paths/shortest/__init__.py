"""shortest."""
