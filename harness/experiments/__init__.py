"""Takes an experiment file to stored results: load, train, evaluate, store."""
