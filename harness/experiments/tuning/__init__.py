"""The same number of tuning trials for every trained arm, chosen on validation."""
