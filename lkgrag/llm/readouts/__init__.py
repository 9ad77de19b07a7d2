"""readouts."""
