"""Which subjects train, which validate and which test."""

import hashlib
from collections.abc import Iterable

SPLITS = ("train", "validation", "test")


def split_subjects(subjects: Iterable[str], *, dataset: str) -> dict[str, str]:
    """The split of every subject: 60 % train, 20 % validation, 20 % test.

    The order is that of a hash of dataset and subject: the same on every machine, and unrelated to the names.
    With three subjects or more no split is empty; two are train and test.
    """
    ordered = sorted(set(subjects), key=lambda subject: hashlib.sha256(f"{dataset}/{subject}".encode()).digest())
    held_back = max(1, round(0.2 * len(ordered)))
    validation = held_back if len(ordered) >= 3 else 0
    test = held_back if len(ordered) >= 2 else 0
    train = len(ordered) - validation - test
    sizes = zip(SPLITS, (train, validation, test), strict=True)
    return dict(zip(ordered, (split for split, size in sizes for _ in range(size)), strict=True))
