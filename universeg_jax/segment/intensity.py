"""From stored intensities to the [0,1] that models take."""

import numpy as np

from universeg_jax.errors import InputError

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and OpenCV convert to grey


def checked_window(window: tuple[float, float] | None) -> tuple[float, float] | None:
    """The window as two floats; InputError unless it is finite with low < high."""
    if window is None:
        return None
    low, high = (float(edge) for edge in window)
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(f"window=({low:g}, {high:g}): pass two finite intensities, the lower first")
    return low, high


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Convert between grey and colour.

    Args:
        image: (H,W,C), C being 1 grey, 2 grey and alpha, 3 colour or 4 colour and alpha. Alpha is dropped.
        channels: 1 takes the luminance of a colour image, 3 repeats a grey one.

    Returns:
        (H,W,channels), float64: differences of 16-bit intensities stay exact until they are in [0,1].
    """
    colours = image[..., : 1 if image.shape[-1] <= 2 else 3]
    if channels == 3:
        return np.broadcast_to(colours.astype(np.float64), (*image.shape[:2], 3))
    if colours.shape[-1] == 1:
        return colours.astype(np.float64)
    return sum(weight * colours[..., c : c + 1].astype(np.float64) for c, weight in enumerate(LUMINANCE))


def to_unit_range(image: np.ndarray, name: str, *, window: tuple[float, float] | None) -> np.ndarray:
    """Scale to [0,1], float32.

    Without a window the image's own minimum goes to 0 and its maximum to 1, over all channels together, as UniverSeg
    was trained; a constant image becomes zeros. A window (low, high) is for intensities with a meaning,
    such as Hounsfield units: low goes to 0, high to 1, and what lies outside is clipped.

    Raises:
        InputError: when the range of intensities overflows a float64.
    """
    low, high = (image.min(), image.max()) if window is None else window
    with np.errstate(over="ignore"):
        extent = high - low
    if extent == 0:
        return np.zeros(image.shape, np.float32)
    if not np.isfinite(extent):
        raise InputError(f"{name} has intensities from {low:g} to {high:g}: scale them down")
    # Clipped first: a window far from an image's intensities must not overflow.
    return ((np.clip(image, low, high) - low) / extent).astype(np.float32)
