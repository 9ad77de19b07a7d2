"""ranker_."""
