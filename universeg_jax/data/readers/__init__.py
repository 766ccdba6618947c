"""Readers of datasets as they are distributed, one layout in each file."""
