"""DINOv2: names of its parameters in the released files (github.com/facebookresearch/dinov2) and here."""

from dataclasses import asdict
from functools import partial
from math import isqrt

from universeg_jax.errors import WeightsError
from universeg_jax.models.dinov2 import DINOv2, DINOv2Config
from universeg_jax.weights.config_json import config_from_json
from universeg_jax.weights.mapping import VECTOR, Entry, conv, linear, norm
from universeg_jax.weights.names import Network, Tensors

TOKENS = (0, 1, 2)  # as they are
HEAD_FEATURES = 64
"""Features of one attention head, the same in all sizes; no file shows it."""

UNUSED = ("mask_token",)  # replaces hidden patches in training


def dinov2_table(config: DINOv2Config) -> list[Entry]:
    """Make the table of tensors of the released state dict."""
    table = [Entry("cls_token", ("class_token",), TOKENS), Entry("pos_embed", ("positions",), TOKENS)]
    if config.registers:
        table.append(Entry("register_tokens", ("registers",), TOKENS))
    table += conv("patch_embed.proj", "patches")
    widen, narrow = ("w12", "w3") if config.gated else ("fc1", "fc2")
    for i in range(config.depth):
        name = f"blocks.{i}"
        table += [
            *norm(f"{name}.norm1", f"{name}.attention_norm"),
            *linear(f"{name}.attn.qkv", f"{name}.qkv"),
            *linear(f"{name}.attn.proj", f"{name}.out"),
            Entry(f"{name}.ls1.gamma", (f"{name}.attention_scale",), VECTOR),
            *norm(f"{name}.norm2", f"{name}.mlp_norm"),
            *linear(f"{name}.mlp.{widen}", f"{name}.widen"),
            *linear(f"{name}.mlp.{narrow}", f"{name}.narrow"),
            Entry(f"{name}.ls2.gamma", (f"{name}.mlp_scale",), VECTOR),
        ]
    return [*table, *norm("norm", "norm")]


def infer_config(state_dict: Tensors) -> DINOv2Config:
    """Read the configuration from names and shapes of a released state dict.

    Raises:
        WeightsError: the state dict is not of a DINOv2.
    """
    depth = 0
    while f"blocks.{depth}.norm1.weight" in state_dict:
        depth += 1
    try:
        features, _, patch, _ = state_dict["patch_embed.proj.weight"].shape
        return DINOv2Config(
            features=features,
            depth=depth,
            heads=max(1, features // HEAD_FEATURES),
            registers=state_dict["register_tokens"].shape[1] if "register_tokens" in state_dict else 0,
            gated="blocks.0.mlp.w12.weight" in state_dict,
            patch=patch,
            grid=isqrt(state_dict["pos_embed"].shape[1] - 1),
        )
    except KeyError as error:
        raise WeightsError(f"these are not the weights of a DINOv2: {error.args[0]} is missing") from None
    except (IndexError, ValueError) as error:
        raise WeightsError(f"these are not the weights of a DINOv2: {error}") from None


def dinov2_from(state_dict: Tensors) -> DINOv2:
    """Make a DINOv2 of a released state dict; raises as `Network.make`."""
    return DINOV2_NETWORK.make(state_dict)


def _describe(model: DINOv2) -> list[str]:
    config = model.config
    return [
        f"DINOv2, {config.depth} blocks of {config.features} features, {config.registers} registers, "
        f"{'SwiGLU' if config.gated else 'GELU'}",
        f"patches of {config.patch} pixels, positions for {config.grid}x{config.grid}",
    ]


DINOV2_NETWORK = Network(
    name="dinov2",
    model=DINOv2,
    config=DINOv2Config,
    signs={"blocks.0.ls1.gamma": "of a DINOv2"},
    table=dinov2_table,
    infer_config=infer_config,
    to_json=asdict,
    from_json=partial(config_from_json, DINOv2Config),
    describe=_describe,
    hidden=frozenset({"heads"}),
    unused=lambda config: UNUSED,
)
