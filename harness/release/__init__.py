"""Whether a candidate may be released, and what ships of it."""
