"""What several tests build on: small data, small rankers, whole runs."""
