"""The declared winner rule applied to every pair of arms."""
