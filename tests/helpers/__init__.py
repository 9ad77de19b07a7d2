"""What several tests build on: small data, small rankers, whole runs."""

#: Fixtures that carry out a whole run: whatever uses one is marked as slow.
RUNS = {"small_run", "run_without_lm"}
