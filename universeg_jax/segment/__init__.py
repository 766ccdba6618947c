"""Segment images and volumes from labelled examples: arrays in, arrays out."""
