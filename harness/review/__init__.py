"""Blind review."""
