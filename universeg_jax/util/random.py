"""Make random generators from keys."""

import hashlib

import numpy as np


def generator(*key: str | int) -> np.random.Generator:
    """Make a generator whose numbers depend on the key alone, not on what was drawn before."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest))
