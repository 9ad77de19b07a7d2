"""Speed: each part against what a user would pick instead, and against the physical limit."""
