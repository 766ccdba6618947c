"""Image encoders of ProtoSAM: features for prototypes, embeddings for the mask decoder, and a cache of both."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax import backend
from universeg_jax.errors import InputError
from universeg_jax.models.dinov2 import DINOv2
from universeg_jax.models.protosam.alp import unit
from universeg_jax.models.protosam.config import STAGES
from universeg_jax.models.sam.image_encoder import Features
from universeg_jax.models.sam.model import SAM
from universeg_jax.nn.resample import resize_linear
from universeg_jax.shapes import Array, Float
from universeg_jax.util.checks import check_number

Tree = TypeVar("Tree")  # a pytree of arrays (B,...)

CAPACITY = 256 * 2**20  # bytes of the cache: about 16 images of LiteMedSAM

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
SMALLEST_GRID = 32  # features a side, to which smaller maps are enlarged (released code)


class FeatureExtractor(Protocol):
    """A network whose features are similar where images show the same: images (B,H,W,3) in [0,1] -> (B,h,w,C)."""

    def __call__(self, images: Array) -> Array: ...


class Encoded(NamedTuple):
    """Encodings of B images.

    Attributes:
        features: (B,h,w,C), for prototypes.
        embedding: (B,h',w',F), for the mask decoder; None if it was not requested.
    """

    features: Array
    embedding: Array | None


class EncoderLike(Protocol):
    """Encoder of images for both halves of ProtoSAM: an `Encoder`, or one that keeps its results elsewhere."""

    @property
    def sam(self) -> SAM:
        """The network that refines."""
        ...

    @property
    def extractor(self) -> FeatureExtractor | None:
        """The network of the features, if it is not the SAM."""
        ...

    def __call__(self, images: np.ndarray, *, embedding: bool) -> Encoded:
        """Encode images (B,H,W,3), with the embedding if it is requested or free of cost."""
        ...

    def forget(self, images: np.ndarray) -> None:
        """Free the memory of encoded images (B,H,W,3) that are not needed again."""
        ...


class EncodingCache:
    """LRU cache of results for single images, keyed by the content of the image.

    It assumes one function with fixed weights. Results are NumPy arrays, because JAX would compile a program for each
    shape that they are cut or joined to.

    Args:
        capacity: most bytes that it holds; it always holds one image.

    Attributes:
        capacity: as above; it may be changed at any time.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self._known: OrderedDict[tuple, Any] = OrderedDict()

    def of(self, images: np.ndarray, *key: object, compute: Callable[[np.ndarray], Tree]) -> Tree:
        """Return `compute(images)` as a tree of NumPy arrays (B,...), computing unknown images only.

        Args:
            images: (B,H,W,C), at least one.
            key: options that the results depend on.
        """
        keys = [(image_digest(image), *key) for image in images]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if new:
            computed = jax.tree.map(np.asarray, compute(images[list(new.values())]))
            for i, key in enumerate(new):
                self._known[key] = jax.tree.map(lambda x, i=i: x[i : i + 1], computed)
        found = []
        for key in keys:
            found.append(self._known[key])
            self._known.move_to_end(key)
        while len(self._known) > 1 and sum(map(_bytes, self._known.values())) > self.capacity:
            self._known.popitem(last=False)
        return computed if len(new) == len(keys) else jax.tree.map(lambda *parts: np.concatenate(parts), *found)

    def forget(self, images: np.ndarray) -> None:
        """Drop the results for images (B,H,W,C)."""
        gone = {image_digest(image) for image in images}
        self._known = OrderedDict((key, found) for key, found in self._known.items() if key[0] not in gone)


def image_digest(image: np.ndarray) -> bytes:
    """Identify an image by its content."""
    return hashlib.sha1(str(image.dtype).encode() + np.ascontiguousarray(image).tobytes()).digest()


@dataclass(frozen=True, eq=False)
class Encoder:
    """Encoder of images for both halves of ProtoSAM.

    Args:
        sam: the network that refines. Its image encoder gives the embedding.
        extractor: another network for the features; None takes features of the SAM's image encoder before its neck,
            which needs one pass for both.
        stages: `ProtoSAMConfig.stages`.
        cache: encodings of recent images. Make another `ProtoSAM` if weights change.
    """

    sam: SAM
    extractor: FeatureExtractor | None
    stages: tuple[float, ...] | None
    cache: EncodingCache = field(default_factory=EncodingCache)

    def __call__(self, images: np.ndarray, *, embedding: bool) -> Encoded:
        """Encode images (B,H,W,3), with the embedding if it is requested or free of cost.

        Raises:
            InputError: for more weights of stages than the image encoder has stages, or features of a wrong shape.
        """

        def encode(images: Array) -> Encoded:
            if self.extractor is None:
                both = self.sam.encode(images)
                return Encoded(mixed_stages(both, self.stages), both.embedding)
            features = self.extractor(images)
            if features.ndim != 4 or len(features) != len(images):
                raise InputError(f"features of images {images.shape} are {features.shape}: return (B,h,w,C) for B")
            return Encoded(features, self.sam.encode(images).embedding if embedding else None)

        embedding |= self.extractor is None  # it comes with the features then
        at_once = backend.encoded_at_once()
        return self.cache.of(images, embedding, compute=lambda unknown: in_batches(encode, (unknown,), at_once))

    def forget(self, images: np.ndarray) -> None:
        """Free the memory of encoded images (B,H,W,3) that are not needed again."""
        self.cache.forget(images)


class DINOv2Features:
    """Features of a DINOv2, as a `FeatureExtractor`.

    Args:
        network: the DINOv2. Its patch tokens are the features.
        size: side in pixels that images are resized to, rounded down to a multiple of a patch (672, released code).
            `ProtoSAM` passes images of the size of its SAM; those for LiteMedSAM, of 256 pixels, are enlarged.
        standardise: scale each image by its own mean and standard deviation, as the released code does with CT and MR
            slices. False scales by the mean and deviation of DINOv2's training images.

    Raises:
        InputError: for a size below one patch.
    """

    def __init__(self, network: DINOv2, *, size: int = 672, standardise: bool = False):
        patch = network.config.patch
        check_number("size", size, least=patch, whole=True)
        self.network, self.size, self.standardise = network, size // patch * patch, standardise

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        """Encode images in [0,1]."""
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


class SAMFeatures:
    """Features of the image encoder of a SAM, as a `FeatureExtractor`.

    It lets one SAM, such as one trained on superpixels, give the features, and another one refine.

    Args:
        sam: the network.
        stages: `ProtoSAMConfig.stages`.
    """

    def __init__(self, sam: SAM, *, stages: tuple[float, ...] | None = None):
        self.sam, self.stages = sam, stages

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        """Encode images in [0,1]."""
        return mixed_stages(self.sam.encode(images), self.stages)


def extractor_of(network: SAM | DINOv2, *, size: int = 672) -> FeatureExtractor:
    """Return the features of a network, as training uses them and `ProtoSAM(features=...)` takes them.

    Args:
        network: a SAM or a DINOv2.
        size: side in pixels of the images for a DINOv2.
    """
    return SAMFeatures(network) if isinstance(network, SAM) else DINOv2Features(network, size=size)


def in_batches(function: Callable, arrays: tuple, at_once: int):
    """Apply a function to `at_once` entries of arrays at a time and concatenate the results as NumPy arrays.

    The last batch repeats its last entry up to a power of two, so that the function compiles for few shapes.
    """
    arrays, results = tuple(map(np.asarray, arrays)), []
    for start in range(0, len(arrays[0]), at_once):
        parts = [array[start : start + at_once] for array in arrays]
        count = len(parts[0])
        size = min(at_once, 1 << (count - 1).bit_length())
        filled = [np.concatenate([part, np.repeat(part[-1:], size - count, axis=0)]) for part in parts]
        results.append(jax.tree.map(lambda x, count=count: np.asarray(x)[:count], function(*filled)))
    return results[0] if len(results) == 1 else jax.tree.map(lambda *parts: np.concatenate(parts), *results)


@partial(jax.jit, static_argnames="weights")
def mixed_stages(features: Features, weights: tuple[float, ...] | None) -> Array:
    """Concatenate the last stages (B,h,w,·) so that cosines are the weighted mean of the stages' cosines."""
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


def _bytes(result: Tree) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(result))
