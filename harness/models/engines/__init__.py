"""Backends that answer from outside this process."""
