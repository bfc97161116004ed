"""What reviewers voted: votes joined with arms, and the statistics made of them."""
