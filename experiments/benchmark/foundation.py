"""Compare the networks of ProtoSAM, at their released sizes, with the PyTorch code of their authors.

    PYTHONPATH=/path/to/dinov2:/path/to/MobileSAM python -m experiments.benchmark.foundation --out experiments/results

github.com/facebookresearch/dinov2 has DINOv2. github.com/ChaoningZhang/MobileSAM has SAM and MobileSAM, which need timm
and torchvision. All weights are random and are converted like released files. Both sides run in turn in one process,
with eager PyTorch in inference mode, one image at a time. The processor time of all threads is also measured, because
other work on the machine changes it less. Set OMP_WAIT_POLICY=PASSIVE, or idle threads of PyTorch count as work.
Results are kept by processor, because the faster side depends on it.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from experiments.benchmark.machine import machine
from experiments.benchmark.sides import processors
from experiments.benchmark.turns import in_turn, medians
from universeg_jax.weights.names.dinov2 import dinov2_from
from universeg_jax.weights.names.sam import sam_from

DRAWN_LARGE = (
    *("cls_token", "register_tokens", "pos_embed", "rel_pos_h", "rel_pos_w"),
    *("attention_biases", "positional_encoding_gaussian_matrix"),
)
"""Endings of tensor names that are not kernels of a product."""

DINOV2_SIZES = (("vits14", 518), ("vitb14", 518), ("vits14", 672), ("vitb14", 252), ("vitl14", 252), ("vitg14", 252))
"""Names, and image sizes in pixels; the large ones would take minutes at 518."""

Outputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A network and its measurement.

    Attributes:
        make: its authors' network, with random weights.
        sides: a function from that network to a function of an image (H,W,3) in [0,1] for each side.
        size: side of the image in pixels.
    """

    make: Callable
    sides: Callable[[object], Mapping[str, Callable[[np.ndarray], Outputs]]]
    size: int


def cases() -> dict[str, Case]:
    from dinov2.hub import backbones
    from mobile_sam.build_sam import build_sam_vit_b, build_sam_vit_h, build_sam_vit_l, build_sam_vit_t

    found = {}
    for name, size in DINOV2_SIZES:
        for registers in ("", "_reg"):
            make = partial(getattr(backbones, f"dinov2_{name}{registers}"), pretrained=False)
            found[f"dinov2-{name}{registers}-{size}"] = Case(make, dinov2_sides, size)
    sams = {
        "mobile-sam": build_sam_vit_t,
        "sam-vit-b": build_sam_vit_b,
        "sam-vit-l": build_sam_vit_l,
        "sam-vit-h": build_sam_vit_h,
    }
    for name, make in sams.items():
        found[f"{name}-1024"] = Case(make, sam_sides, 1024)
    return found


def dinov2_sides(network) -> dict[str, Callable[[np.ndarray], Outputs]]:
    ours = dinov2_from(_state_dict(network))

    def run_ours(image: np.ndarray) -> Outputs:
        tokens = ours(image[None])
        return {"patches": np.asarray(tokens.patches), "image": np.asarray(tokens.image)}

    def run_theirs(image: np.ndarray) -> Outputs:
        tokens = network.forward_features(_channels_first(image))
        side = image.shape[0] // ours.config.patch
        patches = tokens["x_norm_patchtokens"].numpy().reshape(1, side, side, -1)
        return {"patches": patches, "image": tokens["x_norm_clstoken"].numpy()}

    return {"ours": run_ours, "theirs": run_theirs}


def sam_sides(network) -> dict[str, Callable[[np.ndarray], Outputs]]:
    """Features of the image; and the masks of a box and of a box with a point, made of the authors' features."""
    import torch

    ours = sam_from(_state_dict(network))
    box, point = np.float32([[200, 300, 800, 700]]), np.float32([[[400, 450]]])

    def run_ours(image: np.ndarray) -> Outputs:
        return {"embedding": np.asarray(ours.encode(image[None]).embedding)}

    def masks_ours(embedding: np.ndarray) -> Outputs:
        by_box, _ = ours.decode(embedding, boxes=box)
        by_both, iou = ours.decode(embedding, boxes=box, points=point, point_labels=np.ones((1, 1), int))
        return {"box": np.asarray(by_box), "both": np.asarray(by_both), "iou": np.asarray(iou)}

    def run_theirs(image: np.ndarray) -> Outputs:
        embedding = network.image_encoder(network.preprocess(255 * _channels_first(image)))
        return {"embedding": np.moveaxis(embedding.numpy(), 1, -1)}

    def masks_theirs(embedding: np.ndarray) -> Outputs:
        outputs = {}
        labelled = torch.from_numpy(point), torch.ones(1, 1)
        for name, points in (("box", None), ("both", labelled)):
            sparse, dense = network.prompt_encoder(points=points, boxes=torch.from_numpy(box), masks=None)
            outputs[name], outputs["iou"] = network.mask_decoder.predict_masks(
                image_embeddings=torch.from_numpy(np.moveaxis(embedding, -1, 1).copy()),
                image_pe=network.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
            )
        return {name: output.numpy() for name, output in outputs.items()}

    return {"ours": run_ours, "theirs": run_theirs, "masks_ours": masks_ours, "masks_theirs": masks_theirs}


def measure(case: Case, *, runs: int) -> dict:
    """Largest differences relative to the largest value, and medians of times."""
    import torch

    torch.manual_seed(0)
    with torch.inference_mode():
        network = case.make()
        randomise(network)
        network.eval()  # only now: a TinyViT keeps a copy of its biases that new weights do not renew
        sides = case.sides(network)
        ours, theirs = sides["ours"], sides["theirs"]
        image = np.random.default_rng(0).random((case.size, case.size, 3), np.float32)
        expected = theirs(image)
        pairs = [(ours(image), expected)]
        if "masks_ours" in sides:
            pairs.append(tuple(sides[side](expected["embedding"]) for side in ("masks_ours", "masks_theirs")))
        row = {"difference": {name: _difference(a[name], b[name]) for a, b in pairs for name in b}, "runs": runs}
        timed = {name: partial(sides[name], image) for name in ("ours", "theirs")}
        return row | medians(in_turn(timed, runs=runs))


def randomise(network) -> None:
    """Give every tensor of a PyTorch network random values of about the size that trained ones have."""
    import torch

    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif tensor.ndim == 1:
            tensor.normal_(0.0 if name.endswith(("bias", "running_mean")) else 1.0, 0.2)
        elif name.endswith(DRAWN_LARGE):
            tensor.normal_(0.0, 0.5)
        else:  # inputs of an output: of (in,out,kh,kw) in a transposed convolution, of (out,in,…) elsewhere
            inputs = tensor.shape[0] if "output_upscaling" in name else tensor[0].numel()
            torch.nn.init.normal_(tensor, 0.0, inputs**-0.5)


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _state_dict(network) -> Outputs:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def _channels_first(image: np.ndarray):
    import torch

    return torch.from_numpy(np.moveaxis(image, -1, 0)[None].copy())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of protosam_foundation.json")
    parser.add_argument("--runs", type=int, default=5, help="of each side (default: %(default)s; 0: compare alone)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases; by default all. Others stay")
    arguments = parser.parse_args()
    try:
        import torch

        torch.set_num_threads(processors())
        known = cases()
    except ImportError as error:
        print(f"error: {error}: PyTorch, timm, torchvision and both repositories are needed", file=sys.stderr)
        return 2
    file = arguments.out / "protosam_foundation.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    arguments.out.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", "-m", "experiments.benchmark.foundation", *sys.argv[1:]])
    about = {"command": command, "machine": machine(), "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY")}
    rows = results.setdefault(about["machine"]["processor"], {})
    for name in arguments.only or known:
        rows[name] = about | measure(known[name], runs=arguments.runs)
        print(json.dumps({name: rows[name]}), flush=True)
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
