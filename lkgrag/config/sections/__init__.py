"""The options of each section."""
