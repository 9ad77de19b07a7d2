"""What the service bears: load, a kill, and a swap of its ranker."""
