"""What often makes a segmentation fail, told from the images and labels alone."""

from collections.abc import Iterable, Sequence

import numpy as np

from universeg_jax.segment.preprocess import View

# How far an image's intensities may be from those of the nearest support image: the mean difference in [0,1] of pixels
# of equal rank (the Wasserstein-1 distance). Measured on 96 datasets of many modalities, an image among others of its
# own dataset: farther than DIFFERENT in 1.2 % of cases with one support image, 0.1 % with four; taken for inverted in
# 0.6 and 0.2 %, most of them where a dataset mixes polarities; truly inverted and noticed in 81 and 86 %.
DIFFERENT = 0.25
INVERTED = 0.1
INVERTED_IS_NEARER = 3.0
SIZES_DIFFER = 4.0


def diagnose_support(views: Sequence[View], labels: Sequence[np.ndarray]) -> list[str]:
    """Constant images, and empty or full masks, in a support set: one message for each kind found."""
    single = [v.name for v, label in zip(views, labels, strict=True) if label.min() == label.max()]
    return [
        *_constant(views),
        *_message(single, "the mask is empty or full: it holds one value, which says little about where a border runs"),
    ]


def diagnose_targets(views: Sequence[View], support: Sequence[View]) -> list[str]:
    """Target images that are constant or unlike the support in polarity, intensities or size: one message a kind."""
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
        *_message(inverted, "intensities look inverted against the support (dark where it is bright); if so, negate"),
        *_message(
            different, "intensities are distributed very differently from the support's; is it the same modality?"
        ),
        *_message(sizes, f"size or aspect differs by more than {SIZES_DIFFER:g}x from every support image"),
    ]


def diagnose_results(views: Sequence[View], empty: Sequence[bool]) -> list[str]:
    """Images in which nothing but background was found."""
    names = [view.name for view, is_empty in zip(views, empty, strict=True) if is_empty and not view.constant]
    return _message(names, "nothing was found: the mask is all background")


def _nearest(quantiles: np.ndarray, known: np.ndarray) -> float:
    return float(np.abs(known - quantiles).mean(axis=1).min())


def _size_differs(view: View, support: Sequence[View]) -> bool:
    def measures(v: View) -> np.ndarray:
        return np.log([max(v.frame.height, v.frame.width), v.frame.width / v.frame.height])

    differences = np.abs(np.stack([measures(v) for v in support]) - measures(view))
    return bool((differences.max(axis=1) > np.log(SIZES_DIFFER)).all())


def _constant(views: Iterable[View]) -> list[str]:
    return _message([v.name for v in views if v.constant], "the image is constant: nothing can be seen in it")


def _message(names: Sequence[str], text: str, *, shown: int = 8) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return [f"{', '.join(names[:shown])}{more}: {text}"]
