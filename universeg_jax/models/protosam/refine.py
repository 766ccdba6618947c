"""Fine half of ProtoSAM: prompt the mask decoder with components of the coarse mask, and combine both masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.models.protosam.config import MaskChoice, PromptsConfig, RefinementConfig
from universeg_jax.models.protosam.encoder import in_batches
from universeg_jax.models.protosam.prompts import Component, make_prompts
from universeg_jax.models.sam.model import SAM
from universeg_jax.nn.resample import resize_linear
from universeg_jax.shapes import Array, Float

PROMPTS_AT_ONCE = 8  # prompts in a call of the decoder
LIMIT = 6.0  # bound of combined logits, so that neither half outweighs the other by its scale
STABILITY_OFFSET = 2.0  # a stable mask hardly changes between the thresholds minus and plus this logit


@dataclass(frozen=True, eq=False)
class RefinementRequest:
    """Components of one image that the decoder is to segment.

    Attributes:
        image: index of its embedding.
        components: at least one.
        logits: (H,W) coarse logits of the image.
        area: pixels of the square that are not padding.
    """

    image: int
    components: list[Component]
    logits: np.ndarray
    area: int


def decode_components(
    sam: SAM, embeddings: Array, requests: Sequence[RefinementRequest], prompts: PromptsConfig, choice: MaskChoice
) -> Iterator[list[np.ndarray]]:
    """Run the decoder on all components of all requests, in batches over images.

    Yields:
        Logits (H,W) within ±LIMIT, one for each component, for one request after the other.
    """
    if not requests:
        return
    mask_size = tuple(4 * side for side in embeddings.shape[1:3])
    made = [make_prompts(request.components, request.logits, prompts, mask_size) for request in requests]
    owners: np.ndarray = np.repeat(
        [request.image for request in requests], [len(request.components) for request in requests]
    )
    fields = [[getattr(one, name) for one in made] for name in ("boxes", "points", "labels", "masks")]
    present = [parts[0] is not None for parts in fields]
    arrays = [np.concatenate(parts) for parts, given in zip(fields, present, strict=True) if given]
    size = requests[0].logits.shape

    def decode(owners: Array, *given: Array) -> Array:
        rest = iter(given)
        boxes, points, labels, mask = (next(rest) if here else None for here in present)
        logits, iou = sam.decode(embeddings[owners], boxes=boxes, points=points, point_labels=labels, mask=mask)
        return _chosen(logits, iou, choice=choice, size=size)

    decoded: list[np.ndarray] = []  # logits of the current request
    waiting = iter(requests)
    request: RefinementRequest | None = next(waiting)
    for start in range(0, len(owners), PROMPTS_AT_ONCE):
        batch = [array[start : start + PROMPTS_AT_ONCE] for array in (owners, *arrays)]
        for logits in np.asarray(in_batches(decode, tuple(batch), PROMPTS_AT_ONCE)):
            decoded.append(logits)
            if request is not None and len(decoded) == len(request.components):
                yield decoded
                decoded, request = [], next(waiting, None)


def combine(request: RefinementRequest, decoded: Sequence[np.ndarray], config: RefinementConfig) -> np.ndarray:
    """Combine decoded components and coarse logits to refined logits (H,W) of an image.

    Components beyond the first `len(decoded)`, and those that are not trusted, keep their coarse logits.
    """
    coarse = np.clip(request.logits, -LIMIT, LIMIT)
    refined = np.full_like(coarse, -LIMIT)
    for i, component in enumerate(request.components):
        logits = decoded[i] if i < len(decoded) else None
        if logits is not None and _trusted(component, logits, config, request.area):
            refined = np.maximum(refined, logits)
        else:
            part, own = refined[component.region], coarse[component.region]
            part[component.inside] = np.maximum(part, own)[component.inside]
    return (refined + config.coarse_weight * coarse) / (1 + config.coarse_weight)


def _trusted(component: Component, logits: np.ndarray, config: RefinementConfig, area: int) -> bool:
    if component.box_area > config.largest_box * area:
        return False
    if (logits > STABILITY_OFFSET).sum() < config.stability * (logits > -STABILITY_OFFSET).sum():
        return False
    refined = logits > 0
    overlap = (refined[component.region] & component.inside).sum()
    return bool(overlap >= config.agreement * (refined.sum() + component.area - overlap))


@partial(jax.jit, static_argnames=("choice", "size"))
def _chosen(
    logits: Float[Array, "P 4 h w"], iou: Float[Array, "P 4"], *, choice: MaskChoice, size: tuple[int, int]
) -> Float[Array, "P H W"]:
    logits, iou = logits.astype(jnp.float32), iou.astype(jnp.float32)
    match choice:
        case MaskChoice.SINGLE:
            one = logits[:, 0]
        case MaskChoice.FIRST_OF_THREE:
            one = logits[:, 1]
        case MaskChoice.BEST_OF_THREE:
            one = jax.vmap(lambda masks, best: masks[best])(logits, 1 + iou[:, 1:].argmax(axis=1))
        case MaskChoice.BEST_OF_FOUR:
            one = jax.vmap(lambda masks, best: masks[best])(logits, iou.argmax(axis=1))
        case MaskChoice.UNION_OF_THREE:
            one = logits[:, 1:].max(axis=1)
    return jnp.clip(resize_linear(one[..., None], size)[..., 0], -LIMIT, LIMIT)
