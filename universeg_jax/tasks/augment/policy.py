"""Which operations augment an episode, how often and how strongly.

Policies are pytrees of numbers: passed to a compiled function as an argument, another policy needs no new compilation.
"""

from dataclasses import dataclass, fields, replace

import jax

from universeg_jax.errors import InputError

Range = tuple[float, float]


def _check(options) -> None:
    for field in fields(options):
        value = getattr(options, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(number, (int, float)) for number in numbers):
            continue  # a variation, checked on its own; or a number that is traced
        if isinstance(value, tuple):
            if len(value) != 2 or not value[0] <= value[1]:
                raise InputError(f"{field.name}={value}: pass a range, as in (0.5, 1.5)")
        elif not 0 <= value <= 1:
            raise InputError(f"{field.name}={value}: a probability is from 0 to 1")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Variation:
    """How images vary: the probability of each operation, and the range that its strength is drawn from, uniformly.

    Attributes:
        affine: probability of the three that follow.
        rotation: degrees.
        translation: along each axis, in heights and widths of the image.
        scale: above 1 the image grows.
        brightness_contrast: probability of the two that follow.
        brightness: added.
        contrast: factor.
        elastic: probability of a smooth deformation.
        elastic_alpha: factor of the displacement, in halves of the image's height and width.
        elastic_sigma: smoothness of the displacement, in pixels.
        blur: probability of a Gaussian blur, 5×5 pixels.
        blur_sigma: pixels.
        noise: probability of Gaussian noise.
        noise_mean, noise_std: of the noise; what the paper's table calls variance is a standard deviation in the code.
        sharpness: probability.
        sharpness_factor: 0 smooths, 1 changes nothing, more sharpens. The paper gives 5; kornia, with which the
            authors trained, reads one number as the upper end of a range from 0.
    """

    affine: float = 0.0
    rotation: Range = (0.0, 360.0)
    translation: Range = (-0.2, 0.2)
    scale: Range = (0.8, 1.1)
    brightness_contrast: float = 0.0
    brightness: Range = (-0.1, 0.1)
    contrast: Range = (0.8, 1.2)
    elastic: float = 0.0
    elastic_alpha: Range = (1.0, 2.0)
    elastic_sigma: Range = (6.0, 8.0)
    blur: float = 0.0
    blur_sigma: Range = (0.1, 1.1)
    noise: float = 0.0
    noise_mean: Range = (0.0, 0.05)
    noise_std: Range = (0.0, 0.05)
    sharpness: float = 0.0
    sharpness_factor: Range = (0.0, 5.0)

    def __post_init__(self):
        _check(self)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Policy:
    """How episodes are augmented. Probabilities are zero by default.

    Attributes:
        task: variation of the task: one draw for the target and all of its support.
        in_task: variation within the task: every image has a draw of its own.
        flip_intensities: probability that all images x of an episode become 1-x.
        flip_labels: probability that all label maps y become 1-y.
        flip_horizontally, flip_vertically: probability that all images and label maps are mirrored.
        edges: probability that all label maps become their outlines.
    """

    task: Variation = Variation()
    in_task: Variation = Variation()
    flip_intensities: float = 0.0
    flip_labels: float = 0.0
    flip_horizontally: float = 0.0
    flip_vertically: float = 0.0
    edges: float = 0.0

    def __post_init__(self):
        _check(self)

    @classmethod
    def none(cls) -> "Policy":
        """Episodes stay as they are."""
        return cls()

    @classmethod
    def task_only(cls) -> "Policy":
        """The paper's task augmentation."""
        return cls(
            task=Variation(affine=0.5, brightness_contrast=0.5, elastic=0.25, blur=0.5, noise=0.5, sharpness=0.5),
            flip_intensities=0.5,
            flip_labels=0.5,
            flip_horizontally=0.5,
            flip_vertically=0.5,
            edges=0.5,
        )

    @classmethod
    def in_task_only(cls) -> "Policy":
        """The paper's in-task augmentation."""
        return cls(
            in_task=Variation(
                affine=0.5,
                brightness_contrast=0.25,
                contrast=(0.5, 1.5),
                elastic=0.8,
                elastic_alpha=(1.0, 2.5),
                elastic_sigma=(7.0, 8.0),
                blur=0.25,
                noise=0.25,
                sharpness=0.25,
            )
        )

    @classmethod
    def universeg(cls) -> "Policy":
        """Both, as UniverSeg was trained (Butoi et al., ICCV 2023, table of the appendix)."""
        return replace(cls.task_only(), in_task=cls.in_task_only().in_task)
