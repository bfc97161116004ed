"""Scores one artefact on one split: predictions, likelihoods, scores."""
