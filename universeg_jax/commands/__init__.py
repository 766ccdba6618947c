"""The subcommands of `universeg-jax`, one file each, and what they share."""
