"""The built-in data sets and models, and how they are fetched to the user's cache."""
