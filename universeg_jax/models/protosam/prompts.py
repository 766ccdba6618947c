"""Prompts for SAM: connected components of a coarse mask, those to keep, and their boxes, points and masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from universeg_jax.models.protosam.config import ComponentsConfig, Keep, MaskPrompt, PromptsConfig
from universeg_jax.models.sam.mask_decoder import NEGATIVE, NO_POINT, POSITIVE

EIGHT_NEIGHBOURS: np.ndarray = np.ones((3, 3), bool)  # pixels that touch at a corner are connected


@dataclass(frozen=True, eq=False)
class Component:
    """Connected part of a mask (H,W).

    Attributes:
        size: (H,W).
        region: rows and columns of its bounding box.
        inside: bool, its own pixels within the region.
        box: (x0, y0, x1, y1), its outermost pixels.
        centroid: (x, y), the mean of its pixels.
        confidence: sum of the probabilities in it, divided by the area of the whole mask.
    """

    size: tuple[int, int]
    region: tuple[slice, slice]
    inside: np.ndarray
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    confidence: float

    @property
    def mask(self) -> np.ndarray:
        """(H,W) bool. Made on request, since a mask of specks has thousands of components."""
        return union([self], self.size)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(self.inside.sum())

    @property
    def box_area(self) -> int:
        """Number of pixels of the bounding box."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0 + 1) * (y1 - y0 + 1)


def find_components(probability: np.ndarray) -> list[Component]:
    """Find all components of `probability` (H,W) > 0.5, sorted by confidence, the highest first."""
    mask = probability > 0.5
    numbers, _ = ndimage.label(mask, EIGHT_NEIGHBOURS)
    area, found = mask.sum(), []
    for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
        own = numbers[rows, columns] == number
        y, x = np.nonzero(own)
        found.append(
            Component(
                size=mask.shape,
                region=(rows, columns),
                inside=own,
                box=(columns.start, rows.start, columns.stop - 1, rows.stop - 1),
                centroid=(float(x.mean() + columns.start), float(y.mean() + rows.start)),
                confidence=float(probability[rows, columns][own].sum() / area),
            )
        )
    return sorted(found, key=lambda component: -component.confidence)


def union(components: Sequence[Component], size: tuple[int, int]) -> np.ndarray:
    """Return the mask (H,W) of several components."""
    mask: np.ndarray = np.zeros(size, bool)
    for component in components:
        mask[component.region] |= component.inside
    return mask


def choose_components(components: list[Component], config: ComponentsConfig, in_support: int | None) -> list[Component]:
    """Choose the components to keep.

    Args:
        components: sorted by confidence, the highest first.
        config: the rule.
        in_support: largest number of components in one mask of the support; None if any number is plausible.
    """
    components = _without_specks(components, config)
    if config.keep is Keep.MOST_CONFIDENT:
        return components[:1]
    if config.keep is Keep.AS_SUPPORT:
        return components[:in_support]
    return components


def count(mask: np.ndarray, config: ComponentsConfig) -> int:
    """Count the components of a true mask (H,W), bool."""
    return len(_without_specks(find_components(mask.astype(np.float32)), config))


def _without_specks(components: list[Component], config: ComponentsConfig) -> list[Component]:
    largest = max((component.area for component in components), default=0)
    return [component for component in components if component.area >= config.smallest * largest]


SURE_BACKGROUND = 0.95  # probability from which a pixel may be the global negative point
INSIDE, OUTSIDE = 10.0, -8.0  # logits of `MaskPrompt.BINARY`


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts of P components; None for kinds that are not used.

    Attributes:
        boxes: (P,4), x0, y0, x1, y1.
        points: (P,N,2), x and y, in pixels of the encoder's image, counted from the centre of its first pixel.
        labels: (P,N), 1 foreground, 0 background, -1 filler.
        masks: (P,h,w,1) logits.
    """

    boxes: np.ndarray | None
    points: np.ndarray | None
    labels: np.ndarray | None
    masks: np.ndarray | None


def make_prompts(
    components: list[Component], logits: np.ndarray, config: PromptsConfig, mask_size: tuple[int, int]
) -> Prompts:
    """Make the prompts for components of one image.

    Args:
        components: P components, at least one.
        logits: (H,W) coarse logits of the whole image. The components are parts of `logits` > 0.
        config: the kinds of prompts.
        mask_size: height and width of a mask prompt.
    """
    parts = [_points(component, logits, config) for component in components]
    return Prompts(
        boxes=np.stack([_box(c, logits.shape, config.box_margin) for c in components]) if config.box else None,
        points=np.stack([points for points, _ in parts]) if config.points else None,
        labels=np.stack([labels for _, labels in parts]) if config.points else None,
        masks=_masks(components, logits, config.mask, mask_size),
    )


def _box(component: Component, size: tuple[int, int], margin: float) -> np.ndarray:
    height, width = size
    wider = np.array([-width, -height, width, height]) * margin
    return np.clip(component.box + wider, 0, [width - 1, height - 1] * 2).astype(np.float32)


def _points(component: Component, logits: np.ndarray, config: PromptsConfig) -> tuple[np.ndarray, np.ndarray]:
    """Make N = `config.points` points (N,2) and their labels (N,)."""
    points, labels = [], []

    def add(where: tuple[float, float] | None, label: int) -> None:
        points.append((0.0, 0.0) if where is None else where)
        labels.append(NO_POINT if where is None else label)

    x0, y0, _, _ = component.box
    y, x = np.nonzero(component.inside)
    best = np.argsort(-logits[component.region][y, x], kind="stable")[: config.confident_points]
    for i in range(config.confident_points):
        add((float(x0 + x[best[i]]), float(y0 + y[best[i]])) if i < len(best) else None, POSITIVE)
    if config.centroid:
        add(component.centroid, POSITIVE)
    if config.global_negative:
        sure = logits <= -np.log(SURE_BACKGROUND / (1 - SURE_BACKGROUND))
        add(_lowest(logits, sure), NEGATIVE)
    if config.local_negative:
        near = ndimage.binary_dilation(component.mask, EIGHT_NEIGHBOURS, iterations=config.ring)
        add(_lowest(logits, near & ~component.mask), NEGATIVE)
    return np.array(points, np.float32).reshape(-1, 2), np.array(labels, np.int32)


def _lowest(logits: np.ndarray, where: np.ndarray) -> tuple[float, float] | None:
    """Find the pixel (x, y) with the lowest logit in `where`; None if `where` is empty."""
    if not where.any():
        return None
    y, x = np.unravel_index(np.where(where, logits, np.inf).argmin(), logits.shape)
    return float(x), float(y)


def _masks(
    components: list[Component], logits: np.ndarray, kind: MaskPrompt, size: tuple[int, int]
) -> np.ndarray | None:
    if kind is MaskPrompt.NONE:
        return None
    rows, columns = (np.arange(n) * before // n for n, before in zip(size, logits.shape, strict=True))
    masks = np.stack([component.mask for component in components])[:, rows][:, :, columns]
    if kind is MaskPrompt.BINARY:
        values = np.where(masks, np.float32(INSIDE), np.float32(OUTSIDE))
    else:
        near = logits[rows][:, columns].astype(np.float32)
        values = np.where(masks, near, -np.abs(near))
    return values[..., None]
