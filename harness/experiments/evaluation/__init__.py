"""One artefact scored on one split: predictions, likelihoods, scores."""
