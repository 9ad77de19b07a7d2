"""The search for one shortest path of each pair."""
