"""Subcommands of `universeg-jax`, one file each, and their shared options."""
