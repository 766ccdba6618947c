"""Appearance and cost of the augmentation."""
