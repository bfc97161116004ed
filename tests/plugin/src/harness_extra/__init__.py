"""A small package that adds a method, a metric and an executor."""
