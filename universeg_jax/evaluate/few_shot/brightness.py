"""Match the brightness of the labelled slices to the query scan, by features of an image encoder.

MR intensities have no unit: an organ can be half as bright in one scan as in another. Histograms mislead if fat is
suppressed in one scan only. Features of equal brightness are more similar, whatever else the scans show.
"""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from universeg_jax.data.stacks import OrganSlices
from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.methods import FewShotMethod
from universeg_jax.evaluate.few_shot.support import part_slices
from universeg_jax.models.in_context import InContextModel
from universeg_jax.models.protosam.alp import unit
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.shapes import Float

FACTORS = (1.0, 0.5, 2.0)
"""Factors of the brightness of the support slices that are compared; the first one wins a tie."""

DARK = 0.05
"""Intensity in [0,1] up to which a pixel counts as air, which is the same in every scan."""

STRIDE = 2
"""Step between compared features along each axis; neighbours are alike."""


@dataclass(frozen=True, eq=False)
class MatchedBrightness:
    """A method that sees the labelled slices in the brightness of the query scan (a `FewShotMethod`).

    The middle slices of the three parts of an organ are compared: each feature of the query with the most similar one
    of the support slice, darkened or brightened. The factor of the largest mean cosine is applied to all labelled
    slices. Products above 1 become 1. The masks of the query are not used.

    Args:
        method: segments with the changed slices.
        model: its encoder gives the features.
        factors: factors of the brightness.

    Raises:
        InputError: there is no factor, or one that is not positive.
    """

    method: FewShotMethod
    model: ProtoSAM
    factors: tuple[float, ...] = FACTORS

    def __post_init__(self):
        if not self.factors or not all(0 < factor < np.inf for factor in self.factors):  # False for NaN
            raise InputError(f"factors={self.factors}: pass one positive factor or more")

    @property
    def name(self) -> str:
        return f"{self.method.name}, matched"

    @property
    def identity(self) -> str:
        return f"{self.method.identity}, brightness matched by {self.factors}"

    def segment(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        """Return the probability of the organ in each query slice."""
        if support.scan is not None and support.scan is query.scan:
            return self.method.segment(support, query)
        return self.method.segment(brighter(support, self.factor(support, query)), query)

    def factor(self, support: OrganSlices, query: OrganSlices) -> float:
        """Return the factor that makes the support slices most similar to the query slices."""
        pairs = list(zip(part_slices(len(support)), part_slices(len(query)), strict=True))
        whole = [self._features(query.images[index]) for _, index in pairs]
        wanted = [features[::STRIDE, ::STRIDE] for features in whole]
        bright = [
            self._bright(query.images[index], features.shape[:2])[::STRIDE, ::STRIDE]
            for (_, index), features in zip(pairs, whole, strict=True)
        ]
        similarities = []
        for factor in self.factors:
            shown = brighter(support, factor).images
            known = [self._features(shown[index])[::STRIDE, ::STRIDE] for index, _ in pairs]
            similarities.append(np.mean([_resemblance(*three) for three in zip(wanted, bright, known, strict=True)]))
        return self.factors[int(np.argmax(similarities))]

    def _features(self, image: np.ndarray) -> Float[np.ndarray, "h w C"]:
        pixels = np.asarray(self._pixels(image))[None]
        return np.asarray(unit(self.model.encoder(pixels, embedding=False).features[0]))

    def _bright(self, image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        """Return where features of size (h,w) show more than air: (h,w) bool."""
        pixels = self._pixels(image).mean(axis=-1)
        rows, columns = (
            ((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(size, pixels.shape, strict=True)
        )
        return pixels[np.ix_(rows, columns)] > DARK

    def _pixels(self, image: np.ndarray) -> np.ndarray:
        return np.asarray(Segmenter(cast(InContextModel, self.model), window=(0, 1)).view(image).pixels)


def brighter(slices: OrganSlices, factor: float) -> OrganSlices:
    """Multiply the intensities of slices, up to 1."""
    return slices if factor == 1 else replace(slices, images=np.minimum(slices.images * np.float32(factor), 1))


def _resemblance(wanted: np.ndarray, bright: np.ndarray, known: np.ndarray) -> float:
    """Return the mean over bright features (h,w,C) of the largest cosine to any known one; 0 if nothing is bright."""
    if not bright.any():
        return 0.0
    cosines = wanted[bright] @ known.reshape(-1, known.shape[-1]).T
    return float(cosines.max(axis=1).mean())
