"""Errors and warnings about the input, and the text that they share."""

from collections.abc import Sequence


class InputError(ValueError):
    """Error of something given from outside: an image, a mask, a folder, a weight file, an option.

    The message names the file or argument, the values that disagree and the way out. The command line prints it
    without a traceback and exits with code 2.
    """


class WeightsError(InputError):
    """Error of weights that are not found, damaged, unsafe, or made for a different model."""


class SegmentationWarning(UserWarning):
    """Warning about images or labels that make a good result unlikely. The message names them."""


def listing(names: Sequence[str]) -> str:
    """Join names in one line, at most five: "a, b, c, d, e and 7 more"."""
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest
