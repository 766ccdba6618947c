"""Warnings of the library in the words of the page, each with the image that it is about."""

import re
from collections.abc import Sequence


def warning_text(text: str) -> str:
    """Return a warning in the words of the page, without advice on options that the page has not."""
    parts = text.split("; ")
    kept = [part for part in parts if "pass " not in part and "--" not in part]
    text = "; ".join(kept or parts)
    for theirs, ours in (("every support image", "every example"), ("the support", "the examples")):
        text = text.replace(theirs, ours)
    return text


def is_about(text: str, name: str, batch: Sequence[str]) -> bool:
    """Tell whether a warning is about an image, or about no image of its batch in particular."""

    def begins_with(one: str) -> bool:
        return re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", text.split(": ")[0]) is not None

    return begins_with(name) or not any(begins_with(other) for other in batch)
