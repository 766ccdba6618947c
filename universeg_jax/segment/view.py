"""One image as the model sees it."""

from dataclasses import dataclass

import numpy as np

from universeg_jax.segment.geometry import Frame
from universeg_jax.segment.inputs import checked_image
from universeg_jax.segment.intensity import to_unit_range, with_channels


@dataclass(frozen=True, eq=False)
class View:
    """A model's view of an image, and what the diagnostics need to know of the original.

    Attributes:
        name: what messages call the image.
        frame: its size, and its place in the model's square.
        pixels: (size,size,C) float32 in [0,1].
        quantiles: (33,) of its intensities in [0,1], without the padding, in equal steps from minimum to maximum.
    """

    name: str
    frame: Frame
    pixels: np.ndarray
    quantiles: np.ndarray

    @classmethod
    def of(
        cls,
        image: np.ndarray,
        name: str,
        *,
        size: int,
        channels: int,
        window: tuple[float, float] | None,
        padding: str = "zeros",
    ) -> "View":
        """Check, normalise and resize an image (H,W) or (H,W,C)."""
        unit = to_unit_range(with_channels(checked_image(image, name), channels), name, window=window)
        frame = Frame(*unit.shape[:2], size, padding)
        return cls(name, frame, frame.into(unit), np.quantile(unit, np.linspace(0, 1, 33)))

    @property
    def constant(self) -> bool:
        return bool(self.quantiles[0] == self.quantiles[-1])
