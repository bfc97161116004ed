"""Tunes every trained arm with the same number of trials, chosen on validation."""
