"""Shared by the tests: small networks, corpora, files and servers."""
