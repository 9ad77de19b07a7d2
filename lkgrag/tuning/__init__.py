"""Tuning: many trials of a run's options, judged on validation alone; Optuna proposes and stores them."""
