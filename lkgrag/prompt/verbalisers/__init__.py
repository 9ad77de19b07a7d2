"""verbalisers."""
