"""The names of DINOv2's parameters in the released files (github.com/facebookresearch/dinov2) and here."""

from collections.abc import Mapping
from math import isqrt

import numpy as np

from universeg_jax.errors import WeightsError
from universeg_jax.models.dinov2 import DINOv2, DINOv2Config
from universeg_jax.weights.mapping import VECTOR, Entry, blueprint, conv, import_tensors, linear, norm

TOKENS = (0, 1, 2)  # as they are
HEAD_FEATURES = 64
"""Features of one attention head, in all sizes; no file shows it."""

UNUSED = ("mask_token",)  # stood for hidden patches in training


def dinov2_table(config: DINOv2Config) -> list[Entry]:
    """The tensors of the released state dict."""
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


def import_dinov2(model: DINOv2, state_dict: Mapping[str, np.ndarray]) -> None:
    """Fill a DINOv2, in place, with a released state dict.

    Raises:
        WeightsError: as `keys.import_tensors`; the model is as before.
    """
    import_tensors(model, state_dict, dinov2_table(model.config), unused=UNUSED, infer_config=infer_config)


def dinov2_from(state_dict: Mapping[str, np.ndarray]) -> DINOv2:
    """A DINOv2 made of a released state dict, with the configuration its names and shapes imply.

    Raises:
        WeightsError: as `import_dinov2`; or the names are not those of a DINOv2.
    """
    model = blueprint(DINOv2, infer_config(state_dict))
    import_dinov2(model, state_dict)
    return model


def infer_config(state_dict: Mapping[str, np.ndarray]) -> DINOv2Config:
    """The configuration that the names and shapes in a released state dict imply.

    Raises:
        WeightsError: the names are not those of a DINOv2.
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
