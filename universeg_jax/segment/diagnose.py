"""Warnings about images and labels that often make a segmentation fail."""

from collections.abc import Iterable, Sequence

import numpy as np

from universeg_jax.segment.preprocess import View

# Largest plausible distance between the intensities of an image and the nearest support image: the mean difference in
# [0,1] of pixels of equal rank (Wasserstein-1 distance). Error rates, measured on 96 datasets of many modalities:
#                                       1 support image    4 support images
#   image of the dataset is "different"      1.2 %               0.1 %
#   image of the dataset is "inverted"       0.6 %               0.2 %
#   inverted image is found                 81 %                86 %
DIFFERENT = 0.25
INVERTED = 0.1
INVERTED_IS_NEARER = 3.0
SIZES_DIFFER = 4.0
OUTLIER = 0.15  # range of all but the lowest and highest 3 % of the intensities, as part of the whole range


def diagnose_support(views: Sequence[View], labels: Sequence[np.ndarray]) -> list[str]:
    """Find constant images, and empty or full masks, in a support set. Return one message for each kind found."""
    single = [v.name for v, label in zip(views, labels, strict=True) if label.min() == label.max()]
    return [
        *_constant(views),
        *_message(single, "the mask is empty or full: its single value tells nothing about borders"),
    ]


def diagnose_targets(views: Sequence[View], support: Sequence[View]) -> list[str]:
    """Find targets that are constant, or differ from the support in polarity, intensities or size.

    Returns:
        One message for each kind found.
    """
    different, inverted, sizes = [], [], []
    known = np.stack([v.quantiles for v in support])
    for view in views:
        if _size_differs(view, support):
            sizes.append(f"{view.name} ({view.frame.height}x{view.frame.width})")
        if view.constant:
            continue
        distance = _nearest(view.quantiles, known)
        if distance > INVERTED and distance > INVERTED_IS_NEARER * _nearest(1 - view.quantiles[::-1], known):
            inverted.append(view.name)
        elif distance > DIFFERENT:
            different.append(view.name)
    return [
        *_constant(views),
        *_message(
            inverted,
            "intensities look inverted compared with the support (dark instead of bright); if so, negate the image",
        ),
        *_message(different, "intensities differ strongly from the support; is it the same modality?"),
        *_message(sizes, f"size or aspect differs by more than {SIZES_DIFFER:g}x from every support image"),
    ]


def diagnose_results(views: Sequence[View], empty: Sequence[bool]) -> list[str]:
    """Find images with an empty result. Return a message for each cause: outliers among the intensities, or unknown."""
    names, messages = [], []
    for view in (view for view, is_empty in zip(views, empty, strict=True) if is_empty and not view.constant):
        outlier = _outlier(view)
        messages += _message([view.name], f"nothing was found; {outlier}") if outlier else []
        names += [] if outlier else [view.name]
    return [*_message(names, "nothing was found: the mask is all background"), *messages]


def _outlier(view: View) -> str:
    """Describe intensities far from nearly all others, which leave the rest of an image without contrast."""
    low, high = view.range
    first, *inner, last = low + view.quantiles[[0, 1, -2, -1]] * (high - low)
    if not 0 < view.quantiles[-2] - view.quantiles[1] <= OUTLIER:
        return ""
    far = last if last - inner[1] > inner[0] - first else first
    return (
        f"its intensities lie from {inner[0]:g} to {inner[1]:g}, except for a few up to {far:g}; "
        f"if those are outliers, pass window=({inner[0]:g}, {inner[1]:g}), or --window {inner[0]:g} {inner[1]:g}"
    )


def _nearest(quantiles: np.ndarray, known: np.ndarray) -> float:
    return float(np.abs(known - quantiles).mean(axis=1).min())


def _size_differs(view: View, support: Sequence[View]) -> bool:
    def measures(v: View) -> np.ndarray:
        return np.log([max(v.frame.height, v.frame.width), v.frame.width / v.frame.height])

    differences = np.abs(np.stack([measures(v) for v in support]) - measures(view))
    return bool((differences.max(axis=1) > np.log(SIZES_DIFFER)).all())


def _constant(views: Iterable[View]) -> list[str]:
    return _message([v.name for v in views if v.constant], "the image is constant and shows nothing")


def _message(names: Sequence[str], text: str, *, shown: int = 8) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return [f"{', '.join(names[:shown])}{more}: {text}"]
