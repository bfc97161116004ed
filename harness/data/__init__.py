"""Turns rows into examples, splits, sealed files, and token ids with their label masks."""
