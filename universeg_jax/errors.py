"""Error and warning that users' input can cause."""


class InputError(ValueError):
    """Something given from outside cannot be used: an image, a mask, a folder, a weight file, an option.

    The message names the file or argument, the values that disagree and the way out. The command line
    prints it without a traceback and leaves with exit code 2.
    """


class WeightsError(InputError):
    """Weights cannot be read, written or used: not found, damaged, unsafe, or not those of the model at hand."""


class SegmentationWarning(UserWarning):
    """Images or labels that make a good result unlikely; the message names them."""
