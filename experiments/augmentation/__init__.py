"""Augmentation: what it looks like, and what it costs."""
