"""Plans of runs, the worker that executes one, and what takes results into the store."""
