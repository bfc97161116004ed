"""Further questions asked of an experiment: comparisons, curves, slices, settings, suites."""
