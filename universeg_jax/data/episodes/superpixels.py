"""Make tasks without annotations: a superpixel of a real image is the label in warped and recoloured copies of it.

Ouyang et al. (ECCV 2020) introduced superpixels as labels. MultiverSeg (Wong et al., 2024) trains in-context models on
copies of a single image. The ranges here are our own.
"""

import operator
from collections.abc import Collection, Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.data.augment import operations
from universeg_jax.data.corpus.read import Corpus, CorpusTask
from universeg_jax.data.corpus.select import refuse_held_out
from universeg_jax.data.episodes.draw import NUMBER, Episode, checked_number
from universeg_jax.data.episodes.synthetic_images import smooth_noise, smooth_noise_draws
from universeg_jax.errors import InputError
from universeg_jax.shapes import Array, Float

_WARP_SCALES = (32, 64, 128)
_FIELD_SCALES = (64, 128)


class SuperpixelEpisodes:
    """Episodes of superpixels of the images of a corpus (an `EpisodeSource`).

    A dataset, an image of it, and one of its superpixels are drawn. Superpixels are found by Felzenszwalb and
    Huttenlocher's method, at a random scale. Target and support are copies of the image, each with its own shift,
    rotation, scale, deformation and intensities. The labels of the corpus are not used.

    Args:
        corpus: a `Corpus`, or an object with its `tasks`, `examples` and `read`.
        seed: episodes are a function of corpus, options, seed and number.
        support_size: entries in the support set.
        split: split of the images; None for all.
        tasks: tasks whose images are used; all by default.
        held_out: names of datasets that are refused; * stands for anything.
        minimum_area: smallest area of a superpixel, as a fraction of the image.

    Attributes:
        tasks: one task for each dataset.

    Raises:
        InputError: an option is out of range, a dataset is held out, or there are no images.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        seed: int,
        support_size: int = 64,
        split: str | None = "train",
        tasks: Iterable[CorpusTask] | None = None,
        held_out: Collection[str] = (),
        minimum_area: float = 0.005,
    ):
        if not 1 <= support_size <= NUMBER:
            raise InputError(f"support_size={support_size}: pass 1 to {NUMBER}")
        if not 0 <= minimum_area < 0.1:
            raise InputError(f"minimum_area={minimum_area}: pass a fraction of the image, from 0 to below 0.1")
        tasks = corpus.tasks if tasks is None else tuple(tasks)
        refuse_held_out(tasks, held_out)
        found: dict[str, dict[int, CorpusTask]] = {}
        for task in tasks:
            for example in corpus.examples(task, split):
                found.setdefault(task.dataset, {}).setdefault(example.image, task)
        if not found:
            raise InputError(f"split={split!r}: none of {len(tasks)} tasks has an image there")
        self._images = [list(images.items()) for _, images in sorted(found.items())]
        self.tasks = tuple(CorpusTask(name, "image", "2d", "superpixel") for name in sorted(found))
        self._corpus, self._seed, self._support_size = corpus, operator.index(seed), support_size
        self._minimum_area = minimum_area

    def __len__(self) -> int:
        return NUMBER

    def __getitem__(self, number: int) -> Episode:
        number = checked_number(number)
        generator = np.random.default_rng((self._seed, number))
        dataset = generator.integers(len(self.tasks))
        image, task = self._images[dataset][generator.integers(len(self._images[dataset]))]
        pixels, _ = self._corpus.read(task, image)
        label = draw_superpixel(generator, pixels, minimum_area=self._minimum_area)
        seed = generator.integers(NUMBER)
        images, labels = map(np.asarray, copies(seed, pixels, label, number=1 + self._support_size))
        # A shift can move the superpixel out of a copy. The target is the first copy that shows it.
        target = int(np.argmax(labels.any(axis=(1, 2, 3))))
        support: np.ndarray = np.delete(np.arange(len(images)), target)
        return Episode(
            target=images[target],
            target_label=labels[target],
            support_images=images[support],
            support_labels=labels[support],
            support_mask=np.ones(self._support_size, bool),
            task=np.int32(dataset),
            number=np.int32(number),
        )


def draw_superpixel(
    generator: np.random.Generator, image: Float[np.ndarray, "H W 1"], *, minimum_area: float
) -> Float[np.ndarray, "H W 1"]:
    """Draw a superpixel of an image in [0,1], and return its label map.

    The probability of a superpixel is its area. Superpixels below `minimum_area` are skipped, and likely background
    too: more than half of the image, or a single intensity. One of these is drawn if there are no others.
    """
    from skimage.segmentation import felzenszwalb  # slow to import

    pixels, side = image[..., 0], image.shape[0]
    # At 128 pixels the largest scale is MultiverSeg's. It follows the size of the image.
    scale = np.exp(generator.uniform(np.log(5), np.log(500))) * side / 128
    smallest = max(4, round(minimum_area * side * side))
    parts = felzenszwalb(pixels, scale=scale, sigma=generator.uniform(0.3, 1.2) * side / 128, min_size=smallest).ravel()
    areas = np.bincount(parts) / parts.size
    means, squares = (np.bincount(parts, values.ravel()) / (areas * parts.size) for values in (pixels, pixels**2))
    allowed = (areas >= minimum_area) & (areas <= 0.5) & (squares - means**2 > 1e-4)
    weights = areas * (allowed if allowed.any() else 1)
    part = generator.choice(len(areas), p=weights / weights.sum())
    return (parts == part).astype(np.float32).reshape(image.shape)


@partial(jax.jit, static_argnames="number")
def copies(seed: int, image: Array, label: Array, *, number: int) -> tuple[Array, Array]:
    """Make copies of a square image and its label map, each deformed and recoloured in its own way.

    Args:
        seed: seed of all random numbers.
        image, label: (H,W,1) in [0,1].
        number: N, the number of copies.

    Returns:
        Images and label maps, (N,H,W,1) in [0,1].
    """
    keys = jax.random.split(jax.random.key(seed), 1 + number)
    # All copies share the strengths of deformation and recolouring.
    strengths = jax.random.uniform(keys[0], (3,))
    return jax.vmap(partial(_copy, image=image, label=label, strengths=strengths))(keys[1:])


def _copy(key: Array, *, image: Array, label: Array, strengths: Array) -> tuple[Array, Array]:
    """Make one copy. `strengths` (3,) in [0,1] are for deformation, for intensities and for the bias field."""
    size = image.shape[0]
    warp, fields = smooth_noise_draws(_WARP_SCALES), smooth_noise_draws(_FIELD_SCALES)
    numbers, draws = jax.random.split(key)
    rotation, down, right, scale, contrast, brightness, gamma = jax.random.uniform(numbers, (7,), minval=-1)
    draws = jax.random.normal(draws, (2 * warp + fields,))
    # Warps are half as strong as in synthetic tasks, so that texture is preserved.
    scales = jnp.array(_WARP_SCALES)
    stds = (1 + 9 * strengths[0]) * scales / scales.max() * size / 256
    displaced = [
        smooth_noise(part, scales=_WARP_SCALES, stds=stds, size=size) for part in draws[: 2 * warp].reshape(2, warp)
    ]
    grid = operations.pixel_grid(size, size) + jnp.stack(displaced)
    grid = operations.affine(grid, rotation=25 * rotation, translation=(0.12 * down, 0.12 * right), scale=1.3**scale)
    image, label = jnp.split(operations.warp(jnp.concatenate([image, label], axis=-1), grid), 2, axis=-1)

    strength = strengths[1]
    field = smooth_noise(draws[2 * warp :], scales=_FIELD_SCALES, stds=0.3 * strengths[2] * jnp.ones(2), size=size)
    image = jnp.maximum(image, 1e-6) ** (2.0 ** (strength * gamma)) * jnp.exp(field)[..., None]
    image = (1 + 0.5 * strength * contrast) * image + 0.15 * strength * brightness
    return jnp.clip(image, 0, 1), label
