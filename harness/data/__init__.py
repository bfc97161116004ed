"""Rows → examples → splits → sealed files → token ids and masks."""
