"""The coarse half of ProtoSAM: from images to features, prototypes and coarse logits."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from universeg_jax.errors import InputError
from universeg_jax.models.dinov2 import DINOv2
from universeg_jax.models.protosam.alp import Prototypes, prototypes, scores, unit
from universeg_jax.models.protosam.config import STAGES, ALPConfig, LinearConfig, ProtoSAMConfig, Turn
from universeg_jax.models.protosam.linear import LinearClassifier, fit_linear, linear_scores
from universeg_jax.models.sam.image_encoder import Features
from universeg_jax.models.sam.model import SAM
from universeg_jax.nn.resample import resize_linear
from universeg_jax.shapes import Array, Float
from universeg_jax.util.checks import check_number

Tree = TypeVar("Tree")  # of arrays (B,...)

CAPACITY = 256 * 2**20  # bytes: about 16 images of LiteMedSAM, a batch of targets


class EncodingCache:
    """Results for single images, by their content; beyond `CAPACITY` those that were asked for longest ago are lost.

    They are of one function: it knows nothing of weights that are changed in place.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple, Tree] = OrderedDict()

    def of(self, images: np.ndarray, *about: object, compute: Callable[[np.ndarray], Tree]) -> Tree:
        """`compute(images)`, a tree of arrays (B,...); it is asked for those images alone that are not known.

        Args:
            images: (B,H,W,C), at least one.
            about: what else the results depend on.
        """
        keys = [(hashlib.sha1(np.ascontiguousarray(image)).digest(), str(image.dtype), *about) for image in images]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if new:
            computed = compute(images[list(new.values())])
            for i, key in enumerate(new):
                self._known[key] = jax.tree.map(lambda x, i=i: x[i : i + 1], computed)
        found = []
        for key in keys:
            found.append(self._known[key])
            self._known.move_to_end(key)
        while len(self._known) > 1 and sum(map(_size, self._known.values())) > CAPACITY:
            self._known.popitem(last=False)
        return computed if len(new) == len(keys) else jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)


def _size(result: Tree) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(result))


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
SMALLEST_GRID = 32  # features a side, to which smaller maps are enlarged (released code)


class DINOv2Features:
    """A `FeatureExtractor`: images (B,H,W,3) in [0,1] -> (B,h,w,C).

    Args:
        network: whose patch tokens are taken.
        size: images are resized to the largest multiple of a patch up to this many pixels (672, released code). A
            `ProtoSAM` gives images of the size of its SAM: those for LiteMedSAM, of 256 pixels, are enlarged.
        standardise: each image by its own mean and standard deviation, as the released code does with CT and MR slices;
            False takes the colours DINOv2 was trained with.

    Raises:
        InputError: for a size below one patch.
    """

    def __init__(self, network: DINOv2, *, size: int = 672, standardise: bool = False):
        patch = network.config.patch
        check_number("size", size, least=patch, whole=True)
        self.network, self.size, self.standardise = network, size // patch * patch, standardise

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        images = resize_linear(jnp.asarray(images), (self.size, self.size))
        if self.standardise:
            # In float32: the variance of a bright image is lost in bfloat16.
            images = jax.nn.standardize(images.astype(jnp.float32), axis=(1, 2, 3)).astype(images.dtype)
        else:
            mean, deviation = (jnp.asarray(colour, images.dtype) for colour in (IMAGENET_MEAN, IMAGENET_DEVIATION))
            images = (images - mean) / deviation
        patches = self.network(images).patches
        if patches.shape[1] < SMALLEST_GRID:
            patches = resize_linear(patches, (SMALLEST_GRID, SMALLEST_GRID))
        return patches


IMAGES_AT_ONCE = 4  # in the encoders, whose early stages are as large as the image


class FeatureExtractor(Protocol):
    """Whatever gives features that are alike where images show the same: images (B,H,W,3) in [0,1] -> (B,h,w,C)."""

    def __call__(self, images: Array) -> Array: ...


class Encoded(NamedTuple):
    """Features (B,h,w,C) for prototypes; embedding (B,h',w',F) for the mask decoder, None where it is not asked for."""

    features: Array
    embedding: Array | None


@dataclass(frozen=True, eq=False)
class Encoder:
    """Both halves' encoders: SAM's own for both in one pass, or another one for the features.

    Args:
        sam: the network that refines.
        extractor: of features for prototypes; None takes those of SAM's image encoder before its neck.
        stages: `ProtoSAMConfig.stages`, of these.
        memory: of the last images, so that they are not encoded again. Make another `ProtoSAM` where weights change.
    """

    sam: SAM
    extractor: FeatureExtractor | None
    stages: tuple[float, ...] | None
    memory: EncodingCache = field(default_factory=EncodingCache)

    def __call__(self, images: np.ndarray, *, embedding: bool) -> Encoded:
        """Encode images (B,H,W,3); `embedding` asks for that as well.

        Raises:
            InputError: for weights of more stages than the image encoder has, and for features of another shape.
        """

        def encode(images: Array) -> Encoded:
            if self.extractor is None:
                both = self.sam.encode(images)
                return Encoded(_mixed(both, self.stages), both.embedding if embedding else None)
            features = self.extractor(images)
            if features.ndim != 4 or len(features) != len(images):
                raise InputError(f"features of images {images.shape} are {features.shape}: return (B,h,w,C) for B")
            return Encoded(features, self.sam.encode(images).embedding if embedding else None)

        return self.memory.of(images, embedding, compute=lambda unknown: in_batches(encode, (unknown,), IMAGES_AT_ONCE))


class EncodedSupport(NamedTuple):
    """What is known of a task from its support."""

    prototypes: Prototypes
    linear: LinearClassifier | None


@dataclass(frozen=True, eq=False)
class CoarseTask:
    """A task as what is known of it from the support turned by each of the turns."""

    encoder: Encoder
    config: ProtoSAMConfig
    turned: tuple[tuple[Turn, EncodedSupport], ...]

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        config: ProtoSAMConfig,
        images: np.ndarray,
        labels: np.ndarray,
        counts: np.ndarray,
        *,
        anywhere: np.ndarray,
        encoded: Encoded,
    ) -> "CoarseTask":
        """Take in a support set (S,H,W,3), (K,S,H,W,1), (K,S), (K,); `encoded` are its images as they are."""
        turned = []
        for turn in config.turns:
            features = encoded.features if turn == Turn() else encoder(_turn(images, turn), embedding=False).features
            own = _turn(labels.reshape(-1, *labels.shape[2:]), turn).reshape(labels.shape)[..., 0]
            counted = np.asarray(counts, bool)
            known = _known(features, own, counted, anywhere, alp=config.alp, linear=config.linear)
            turned.append((turn, known))
        return cls(encoder, config, tuple(turned))

    def logits(self, images: np.ndarray, encoded: Encoded) -> np.ndarray:
        """Coarse logits (K,B,H,W), float32, of images (B,H,W,3) that are `encoded` as they are."""
        total = 0.0
        for turn, known in self.turned:
            if turn == Turn():
                features = encoded.features
            else:
                features = self.encoder(_turn(images, turn), embedding=False).features
            alp, linear = self.config.alp, self.config.linear
            found = np.asarray(_logits(features, known, size=images.shape[1:3], alp=alp, linear=linear))
            classes, batch, height, width = found.shape
            found = _turn_back(found.reshape(-1, height, width, 1), turn)
            total = total + found.reshape(classes, batch, *found.shape[1:3])
        return total / len(self.turned)


def in_batches(function: Callable, arrays: tuple, at_once: int):
    """Apply a function to `at_once` entries of arrays at a time and concatenate what it returns.

    The last entries are filled up to a power of two with the last of them, so that it compiles for few shapes.
    """
    results = []
    for start in range(0, len(arrays[0]), at_once):
        parts = [array[start : start + at_once] for array in arrays]
        count = len(parts[0])
        size = min(at_once, 1 << (count - 1).bit_length())
        filled = [jnp.concatenate([part, jnp.repeat(part[-1:], size - count, axis=0)]) for part in parts]
        results.append(jax.tree.map(lambda x, count=count: x[:count], function(*filled)))
    return results[0] if len(results) == 1 else jax.tree.map(lambda *parts: jnp.concatenate(parts), *results)


@partial(jax.jit, static_argnames=("alp", "linear"))
def _known(
    features: Array, labels: Array, counts: Array, anywhere: Array, *, alp: ALPConfig, linear: LinearConfig | None
) -> EncodedSupport:
    support = (features, labels, counts, anywhere, alp)
    return EncodedSupport(prototypes(*support), None if linear is None else fit_linear(*support, linear))


@partial(jax.jit, static_argnames=("size", "alp", "linear"))
def _logits(
    features: Array, known: EncodedSupport, *, size: tuple[int, int], alp: ALPConfig, linear: LinearConfig | None
) -> Array:
    background, foreground = scores(features, known.prototypes, alp)
    logits = foreground - background
    if linear is not None:
        logits = logits + linear.weight * linear_scores(features, known.linear)
    classes, batch, height, width = logits.shape
    return resize_linear(logits.reshape(-1, height, width, 1), size).reshape(classes, batch, *size)


def _mixed(features: Features, weights: tuple[float, ...] | None) -> Array:
    """Features (B,h,w,·) of the last stages, so that their cosine is the weighted mean of the stages' cosines."""
    stages = (*features.earlier, features.early)
    weights = STAGES[-len(stages) :] if weights is None else weights
    if len(weights) > len(stages):
        raise InputError(
            f"stages={weights}: this image encoder has {len(stages)} of them: pass at most so many weights, or None"
        )
    if len(weights) == 1:
        return features.early
    stages = stages[-len(weights) :]
    return jnp.concatenate(
        [w**0.5 * unit(x.astype(jnp.float32)) for w, x in zip(weights, stages, strict=True)], axis=-1
    )


def _turn(maps: np.ndarray, turn: Turn) -> np.ndarray:
    """Maps (N,H,W,C), mirrored and turned."""
    maps = np.asarray(maps)
    maps = np.rot90(maps[:, :, ::-1] if turn.mirrored else maps, turn.quarters, axes=(1, 2))
    return _rotate(maps, turn.degrees)


def _turn_back(maps: np.ndarray, turn: Turn) -> np.ndarray:
    maps = np.rot90(_rotate(maps, -turn.degrees), -turn.quarters, axes=(1, 2))
    return maps[:, :, ::-1] if turn.mirrored else maps


def _rotate(maps: np.ndarray, degrees: float) -> np.ndarray:
    """Maps (N,H,W,C) rotated counter-clockwise, their shape kept."""
    if degrees == 0:
        return maps
    # SciPy knows no bfloat16.
    turned = ndimage.rotate(maps.astype(np.float32), degrees, axes=(2, 1), reshape=False, order=1, mode="nearest")
    return turned.astype(maps.dtype)
