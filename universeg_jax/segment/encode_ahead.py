"""Encode images before they are segmented, for programs that have time to spare between requests."""

import numpy as np

from universeg_jax.segment.segmenter import Segmenter


def encode_ahead(segmenter: Segmenter, image: np.ndarray, name: str = "image") -> None:
    """Encode an image (H,W) or (H,W,C), so that a task needs less time when it shows or segments this image.

    Encodings are kept by content (`keep_encodings`). Models without an image encoder have nothing to prepare.

    Raises:
        InputError: an image that cannot be used.
    """
    for model in segmenter.blend.models:
        [view] = segmenter.views(model, [image], [name])
        encode = getattr(model, "encode_ahead", None)
        if encode is not None and not view.constant:  # constant images are not encoded
            encode(view.pixels[None].astype(segmenter.dtype))


def keep_encodings(segmenter: Segmenter, capacity: int) -> None:
    """Let the image encoders of a segmenter keep encodings of at least so many bytes in memory."""
    for model in segmenter.blend.models:
        kept = getattr(getattr(model, "encoder", None), "cache", None)
        if kept is not None:
            kept.capacity = max(kept.capacity, capacity)
