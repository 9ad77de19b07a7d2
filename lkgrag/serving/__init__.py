"""serving_."""
