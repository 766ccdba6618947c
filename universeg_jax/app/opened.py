"""One image as it is open in one tab of the browser."""

from dataclasses import dataclass

import numpy as np

from universeg_jax.app.paint import Layer, read_layer


@dataclass(frozen=True)
class Opened:
    """One image as it was opened in one tab.

    Attributes:
        name: the image; empty before the first was opened.
        token: the mask on disk that the editing began from.
        layer: what was drawn into the editor.
        unsaved: whether the layer holds more than the mask on disk or the proposal.
        proposed: (H,W) class values that the threshold gave; None where the image had a mask.
        points: (x, y) that were clicked in the prompt picture.
        before_points: (H,W) class values before these clicks; None without clicks.
        chosen: the image that was clicked in the list, to be opened next.
    """

    name: str = ""
    token: str = ""
    layer: Layer | None = None
    unsaved: bool = False
    proposed: np.ndarray | None = None
    points: tuple[tuple[int, int], ...] = ()
    before_points: np.ndarray | None = None
    chosen: str = ""

    def painted(self, value: dict | None, colours: dict[int, str]) -> np.ndarray | None:
        """Read the class values (H,W) that an editor shows; None while it does not show this image.

        Args:
            value: of the editor.
            colours: of the classes.
        """
        if self.layer is None or not value or not value.get("layers"):
            return None
        pixels = np.asarray(value["layers"][0])
        return read_layer(pixels, self.layer, colours) if self.layer.is_shown(pixels) else None

    def is_changed(self, values: np.ndarray | None) -> bool:
        """Tell whether painted class values must be saved; None, of an editor that shows another image, need not."""
        drawn = None if self.layer is None else self.layer.values
        return values is not None and (self.unsaved or drawn is None or not np.array_equal(values, drawn))
