"""Measurements behind the automatic choice of a method: blends, similar examples, and the forecast."""
