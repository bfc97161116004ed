"""Loads the files that people write, checked against each other and against the data."""
