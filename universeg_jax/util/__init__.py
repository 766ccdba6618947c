"""Helpers without a subject of their own: whole files, locks, JSON, names, checks, random generators."""
