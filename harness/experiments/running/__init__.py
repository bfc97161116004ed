"""Plans runs, executes them in workers, and takes their results into the store."""
