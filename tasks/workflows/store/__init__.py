"""The rows of runs, steps, items and signals: the only place that changes their states, each with its journal row."""
