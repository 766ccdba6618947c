"""Every operation of the augmentation, at strengths over the paper's range."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax

from universeg_jax.data.augment import Policy, operations
from universeg_jax.shapes import Array

SIZE = 128

Operation = Callable[[Array, Array], tuple[Array, Array]]
"""A change of an image and its label map, both (H,W,1)."""


@dataclass(frozen=True)
class Row:
    """An operation at three strengths.

    Attributes:
        tiles: a caption for each strength, and the operation.
        pixels: True if single pixels change, which only a close-up shows.
    """

    title: str
    tiles: dict[str, Operation]
    pixels: bool = False


def rows() -> list[Row]:
    """List the rows of both tables of the paper's appendix."""
    noise = jax.random.uniform(jax.random.key(0), (2, SIZE, SIZE), minval=-1)
    elastic = partial(operations.elastic, noise=noise)
    deform = _move(elastic, alpha=2.5, sigma=6.0)
    tone = operations.adjust_brightness_contrast
    add_noise = partial(operations.add_gaussian_noise, jax.random.key(0))
    once = _probability("flip_labels")  # all five operations on whole episodes have the same probability
    return [
        Row(
            f"flips · {once}",
            {
                "horizontal": _move(operations.flip, vertical=False, horizontal=True),
                "vertical": _move(operations.flip, vertical=True, horizontal=False),
                "both": _move(operations.flip, vertical=True, horizontal=True),
            },
        ),
        Row(
            f"affine: rotation · {_probability('affine')}",
            {f"{angle}°": _move(operations.affine, rotation=float(angle)) for angle in (45, 160, 300)},
        ),
        Row(
            "affine: translation down and right, in image sizes",
            {
                said: _move(operations.affine, translation=shift)
                for said, shift in (("0.2 up", (-0.2, 0.0)), ("0.1, 0.2", (0.1, 0.2)), ("0.2, -0.2", (0.2, -0.2)))
            },
        ),
        Row("affine: scale", {f"{scale}": _move(operations.affine, scale=scale) for scale in (0.8, 0.95, 1.1)}),
        Row(
            f"elastic: alpha, sigma · {_probability('elastic')}",
            {
                f"{alpha:g}, {sigma:g} px": _move(elastic, alpha=alpha, sigma=sigma)
                for alpha, sigma in ((1.0, 8.0), (1.75, 7.0), (2.5, 6.0))
            },
        ),
        Row(
            f"Sobel edges of the label · {once}",
            {
                "edges": lambda image, label: (image, operations.edges(label)),
                "and label flip": lambda image, label: (image, 1 - operations.edges(label)),
                "after elastic": lambda image, label: _outlined(*deform(image, label)),
            },
        ),
        Row(
            f"flip of intensities and of labels · {once} each",
            {
                "intensities": lambda image, label: (1 - image, label),
                "label": lambda image, label: (image, 1 - label),
                "both": lambda image, label: (1 - image, 1 - label),
            },
        ),
        Row(
            f"brightness and contrast · {_probability('brightness_contrast')}",
            {f"{b:+}": _change(tone, brightness=b, contrast=1.0) for b in (-0.1, 0.1)}
            | {"+0.1, contrast 1.2": _change(tone, brightness=0.1, contrast=1.2)},
            pixels=True,
        ),
        Row(
            "contrast: 0.8 to 1.2 for a task, 0.5 to 1.5 within it",
            {f"{c}": _change(tone, brightness=0.0, contrast=c) for c in (0.5, 0.8, 1.5)},
            pixels=True,
        ),
        Row(
            f"Gaussian blur · {_probability('blur')}",
            {f"sigma {sigma} px": _change(operations.gaussian_blur, sigma=sigma) for sigma in (0.4, 0.7, 1.1)},
            pixels=True,
        ),
        Row(
            f"Gaussian noise · {_probability('noise')}",
            {
                f"mean {mean:g}, std {std}": _change(add_noise, mean=mean, std=std)
                for mean, std in ((0.0, 0.02), (0.0, 0.05), (0.05, 0.05))
            },
            pixels=True,
        ),
        Row(
            f"sharpness · {_probability('sharpness')}",
            {f"factor {factor:g}": _change(operations.adjust_sharpness, factor=factor) for factor in (0.0, 2.5, 5.0)},
            pixels=True,
        ),
    ]


def _probability(name: str) -> str:
    policy = Policy.universeg()
    if hasattr(policy, name):
        return f"task {getattr(policy, name)}"
    return f"task {getattr(policy.task, name)}, in-task {getattr(policy.in_task, name)}"


def _move(function: Callable, **strength) -> Operation:
    """Make an operation on image and label from one on coordinates."""

    def operation(image: Array, label: Array) -> tuple[Array, Array]:
        coordinates = function(operations.pixel_grid(SIZE, SIZE), **strength)
        return operations.warp(image, coordinates), operations.warp(label, coordinates)

    return operation


def _change(function: Callable, **strength) -> Operation:
    """Make an operation on image and label from one on intensities."""
    return lambda image, label: (function(image=image, **strength), label)


def _outlined(image: Array, label: Array) -> tuple[Array, Array]:
    return image, operations.edges(label)
