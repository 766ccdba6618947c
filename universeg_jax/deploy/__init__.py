"""Export of networks to files that run without this library."""
