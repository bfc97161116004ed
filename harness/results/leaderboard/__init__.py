"""Every arm with its estimates, ranks, costs and remarks, as one record."""
