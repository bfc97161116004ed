"""Files → specs, checked against each other and against the data."""
