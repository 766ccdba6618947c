"""TinyViT: its configuration, and names of its parameters in the files of MobileSAM and LiteMedSAM, and here."""

from math import isqrt, prod

from universeg_jax.models.sam.tiny_vit import TinyViTConfig
from universeg_jax.weights.mapping import CONV, MATRIX, VECTOR, Entry, linear, norm
from universeg_jax.weights.names import Tensors

PREFIX = "image_encoder"


def infer_tiny_vit(state_dict: Tensors) -> TinyViTConfig:
    """Read the configuration from names and shapes of a state dict.

    Raises:
        KeyError: a tensor is missing.
    """
    stages = 1 + count_tensors(state_dict, PREFIX + ".layers.{}.downsample.conv1.c.weight")
    features = [state_dict[f"{PREFIX}.patch_embed.seq.2.c.weight"].shape[0]]
    features += [state_dict[f"{PREFIX}.layers.{i}.downsample.conv1.c.weight"].shape[0] for i in range(stages - 1)]
    depths = [count_tensors(state_dict, PREFIX + ".layers.0.blocks.{}.conv1.c.weight")]
    heads, windows = [TinyViTConfig.heads[0]], [TinyViTConfig.windows[0]]
    for stage in range(1, stages):
        name = f"{PREFIX}.layers.{stage}.blocks" + ".{}.attn.attention_biases"
        depths.append(count_tensors(state_dict, name))
        biases = state_dict[name.format(0)]
        heads.append(biases.shape[0])
        windows.append(isqrt(biases.shape[1]))
    return TinyViTConfig(
        features=tuple(features),
        depths=tuple(depths),
        heads=tuple(heads),
        windows=tuple(windows),
        merge_strides=TinyViTConfig.merge_strides[: stages - 1],
        stem_stride=2 if prod(state_dict[f"{PREFIX}.patch_embed.seq.0.c.weight"].shape[2:]) > 1 else 1,
    )


def count_tensors(state_dict: Tensors, name: str) -> int:
    """Count the tensors of a name with a number in it, from 0."""
    count = 0
    while name.format(count) in state_dict:
        count += 1
    return count


def tiny_vit_table(config: TinyViTConfig) -> list[Entry]:
    """Make the table of tensors of the encoder, without its neck."""
    table = [entry for theirs, ours in _normed(config) for entry in _normed_table(theirs, ours)]
    for theirs, ours in _window_blocks(config):
        table += [
            Entry(f"{theirs}.attn.attention_biases", (f"{ours}.attention.biases",), MATRIX),
            *norm(f"{theirs}.attn.norm", f"{ours}.attention.norm"),
            *linear(f"{theirs}.attn.qkv", f"{ours}.attention.qkv"),
            *linear(f"{theirs}.attn.proj", f"{ours}.attention.out"),
            *norm(f"{theirs}.mlp.norm", f"{ours}.norm"),
            *linear(f"{theirs}.mlp.fc1", f"{ours}.widen"),
            *linear(f"{theirs}.mlp.fc2", f"{ours}.narrow"),
        ]
    return table


def tiny_vit_unused(config: TinyViTConfig) -> set[str]:
    """Return tensors that a file may hold in addition: counters of batch norms, tables of indices, the classifier."""
    counters = {f"{theirs}.bn.num_batches_tracked" for theirs, _ in _normed(config)}
    indices = {f"{theirs}.attn.attention_bias_idxs" for theirs, _ in _window_blocks(config)}
    classifier = {f"{PREFIX}.{layer}.{part}" for layer in ("norm_head", "head") for part in ("weight", "bias")}
    return counters | indices | classifier


def _normed(config: TinyViTConfig) -> list[tuple[str, str]]:
    """List every convolution with its batch norm, by their name and ours."""
    names = {"patch_embed.seq.0": "stem.0", "patch_embed.seq.2": "stem.1"}
    for i in range(config.depths[0]):
        for their, our in (("conv1", "widen"), ("conv2", "depthwise"), ("conv3", "narrow")):
            names[f"layers.0.blocks.{i}.{their}"] = f"stages.0.{i}.{our}"
    for i in range(len(config.merge_strides)):
        for their, our in (("conv1", "widen"), ("conv2", "depthwise"), ("conv3", "mix")):
            names[f"layers.{i}.downsample.{their}"] = f"merges.{i}.{our}"
    pairs = [(f"{PREFIX}.{theirs}", f"{PREFIX}.{ours}") for theirs, ours in names.items()]
    return pairs + [(f"{theirs}.local_conv", f"{ours}.local") for theirs, ours in _window_blocks(config)]


def _window_blocks(config: TinyViTConfig) -> list[tuple[str, str]]:
    return [
        (f"{PREFIX}.layers.{stage}.blocks.{i}", f"{PREFIX}.stages.{stage}.{i}")
        for stage in range(1, len(config.depths))
        for i in range(config.depths[stage])
    ]


def _normed_table(theirs: str, ours: str) -> list[Entry]:
    return [
        Entry(f"{theirs}.c.weight", (f"{ours}.kernel",), CONV),
        Entry(f"{theirs}.bn.weight", (f"{ours}.scale",), VECTOR),
        Entry(f"{theirs}.bn.bias", (f"{ours}.bias",), VECTOR),
        Entry(f"{theirs}.bn.running_mean", (f"{ours}.mean",), VECTOR),
        Entry(f"{theirs}.bn.running_var", (f"{ours}.variance",), VECTOR),
    ]
