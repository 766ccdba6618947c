"""ProtoSAM from pictures to masks with this library's networks, and with the PyTorch ones in their place.

Only the networks differ between the sides. Prototypes, classifier, components, prompts and the steps before and after
the networks are the same, because the released system does not take these weights.
"""

from functools import partial
from typing import Any

import numpy as np

from experiments.benchmark.turns import in_turn, medians
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.models.sam.image_encoder import Features
from universeg_jax.models.sam.model import SAM, SAMConfig
from universeg_jax.segment.segmenter import Segmenter


class TorchSAM:
    """A LiteMedSAM of PyTorch with the interface of `SAM`, for prompts of boxes.

    Args:
        net: the network, in evaluation mode.
        config: of the same network here.
    """

    def __init__(self, net: Any, config: SAMConfig) -> None:
        self.net, self.config, self._seen = net, config, {}
        layers = net.image_encoder.layers
        # What a stage has made is what its end makes smaller for the next one.
        for i in (1, 2):
            layers[i].downsample.register_forward_pre_hook(partial(self._keep, i))
        layers[3].register_forward_hook(lambda layer, given, made: self._keep(3, layer, (made,)))

    def _keep(self, stage: int, _: Any, given: tuple) -> None:
        self._seen[stage] = given[0]

    def encode(self, images: Any) -> Features:
        import torch

        with torch.inference_mode():
            embedding = self.net.image_encoder(torch.from_numpy(np.moveaxis(np.asarray(images), -1, 1).copy()))
        sides = {stage: round(seen.shape[1] ** 0.5) for stage, seen in self._seen.items()}
        maps = [
            self._seen[stage].numpy().reshape(len(embedding), sides[stage], sides[stage], -1) for stage in sorted(sides)
        ]
        earlier = [_averaged(stage, sides[3]) for stage in maps[:-1]]
        return Features(np.moveaxis(embedding.numpy(), 1, -1), maps[-1], tuple(earlier))

    def decode(self, embedding: Any, *, boxes: Any, points: None, point_labels: None, mask: None) -> tuple:
        import torch

        with torch.inference_mode():
            given = torch.from_numpy(np.array(boxes))[:, None]
            sparse, dense = self.net.prompt_encoder(points=None, boxes=given, masks=None)
            logits, iou = self.net.mask_decoder.predict_masks(
                image_embeddings=torch.from_numpy(np.moveaxis(np.array(embedding), -1, 1).copy()),
                image_pe=self.net.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
            )
        return logits.numpy(), iou.numpy()


def _averaged(maps: np.ndarray, side: int) -> np.ndarray:
    count, height, width, channels = maps.shape
    return maps.reshape(count, side, height // side, side, width // side, channels).mean(axis=(2, 4))


def whole(sam: SAM, reference: TorchSAM, images: list[np.ndarray], labels: list[np.ndarray], *, runs: int) -> dict:
    """Measure median times of whole predictions of both sides in turn, and the share of equal pixels.

    Args:
        images, labels: the first is the example, the others are segmented.
    """

    def predicted(network: SAM | TorchSAM, targets: list[np.ndarray]) -> list[np.ndarray]:
        return Segmenter(ProtoSAM(network)).fit(images[:1], labels[:1]).predict(targets)

    def one_by_one() -> list[np.ndarray]:
        """Encode the support again for each target, like the released validation."""
        return [predicted(reference, [target])[0] for target in many]

    one, many = images[1:2], images[1:]
    parts = {
        "fit and predict 1 target": (one, partial(predicted, reference, one)),
        f"fit and predict {len(many)} targets": (many, partial(predicted, reference, many)),
        f"fit and predict {len(many)} targets, reference one by one": (many, one_by_one),
    }
    rows = []
    for part, (targets, theirs) in parts.items():
        sides = {"ours": partial(predicted, sam, targets), "reference": theirs}
        in_turn(sides, runs=1)  # to warm up
        rows.append({"part": part, "runs": runs} | medians(in_turn(sides, runs=runs)))
    return {"same_pixels": _same(predicted(sam, many), one_by_one()), "speed": rows}


def in_bfloat16(sam: SAM, images: list[np.ndarray], labels: list[np.ndarray], *, runs: int) -> dict:
    """Measure times of the same predictions in float32 and bfloat16, and the share of equal pixels."""

    def predicted(dtype: str) -> list[np.ndarray]:
        return Segmenter(ProtoSAM(sam), dtype=dtype).fit(images[:1], labels[:1]).predict(images[1:])

    sides = {dtype: partial(predicted, dtype) for dtype in ("float32", "bfloat16")}
    same = _same(*(run() for run in sides.values()))
    return {"targets": len(images) - 1, "same_pixels": same, "runs": runs} | medians(in_turn(sides, runs=runs))


def _same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    return float(np.concatenate([(a == b).ravel() for a, b in zip(ours, theirs, strict=True)]).mean())
