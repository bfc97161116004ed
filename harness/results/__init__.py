"""Stored results made into leaderboards, winners and studies, and written as text, tables, figures and pages."""
