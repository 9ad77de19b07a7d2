"""lrurec."""
