"""The names of SAM's parameters in the released files (github.com/facebookresearch/segment-anything) and here.

MedSAM, MobileSAM and LiteMedSAM have the same names but for the image encoder (`weights/tiny_vit.py`).
"""

from collections.abc import Mapping

import numpy as np

from universeg_jax.models.protosam.sam import SAM, SAMConfig
from universeg_jax.models.protosam.tiny_vit import TinyViTConfig
from universeg_jax.weights.keys import CONV, MATRIX, VECTOR, Entry, conv, import_tensors, linear, norm
from universeg_jax.weights.parameters import blueprint
from universeg_jax.weights.sam_config import infer_config
from universeg_jax.weights.tiny_vit import tiny_vit_table, tiny_vit_unused

UPSCALE = (0, 2, 3, 1)  # a transposed convolution: (in,out,kh,kw) -> (in,kh,kw,out)
POSITIONS = (0, 1, 2, 3)


def sam_table(config: SAMConfig) -> list[Entry]:
    """The tensors of the released state dict."""
    if isinstance(config.encoder, TinyViTConfig):
        encoder = tiny_vit_table(config.encoder)
    else:
        encoder = _encoder_table(config.encoder.depth)
    return [*encoder, *_neck_table(), *_prompt_table(), *_decoder_table(config.decoder_depth)]


def sam_unused(config: SAMConfig) -> set[str]:
    """Names that a released state dict may hold beside them."""
    return tiny_vit_unused(config.encoder) if isinstance(config.encoder, TinyViTConfig) else set()


def import_sam(model: SAM, state_dict: Mapping[str, np.ndarray]) -> None:
    """Fill a SAM, in place, with a released state dict.

    Raises:
        WeightsError: as `keys.import_tensors`; the model is as before.
    """
    unused = sam_unused(model.config)
    import_tensors(model, state_dict, sam_table(model.config), unused=unused, infer_config=infer_config)


def sam_from(state_dict: Mapping[str, np.ndarray], *, medsam: bool = False) -> SAM:
    """A SAM made of a released state dict, with the configuration its names and shapes imply.

    Args:
        medsam: it was trained on images in [0,1] without SAM's mean and deviation, as MedSAM was; no file shows it.

    Raises:
        WeightsError: as `import_sam`; or the names are not those of a SAM.
    """
    model = blueprint(SAM, infer_config(state_dict, medsam=medsam))
    import_sam(model, state_dict)
    return model


def _encoder_table(depth: int) -> list[Entry]:
    theirs, ours = "image_encoder", "image_encoder"
    table = [
        Entry(f"{theirs}.pos_embed", (f"{ours}.positions",), POSITIONS),
        *conv(f"{theirs}.patch_embed.proj", f"{ours}.patches"),
    ]
    for i in range(depth):
        theirs, ours = f"image_encoder.blocks.{i}", f"image_encoder.blocks.{i}"
        table += [
            *norm(f"{theirs}.norm1", f"{ours}.attention_norm"),
            Entry(f"{theirs}.attn.rel_pos_h", (f"{ours}.attention.rows",), MATRIX),
            Entry(f"{theirs}.attn.rel_pos_w", (f"{ours}.attention.columns",), MATRIX),
            *linear(f"{theirs}.attn.qkv", f"{ours}.attention.qkv"),
            *linear(f"{theirs}.attn.proj", f"{ours}.attention.out"),
            *norm(f"{theirs}.norm2", f"{ours}.mlp_norm"),
            *linear(f"{theirs}.mlp.lin1", f"{ours}.widen"),
            *linear(f"{theirs}.mlp.lin2", f"{ours}.narrow"),
        ]
    return table


def _neck_table() -> list[Entry]:
    theirs = ours = "image_encoder.neck"
    return [
        Entry(f"{theirs}.0.weight", (f"{ours}.narrow",), CONV),
        *norm(f"{theirs}.1", f"{ours}.narrow_norm"),
        Entry(f"{theirs}.2.weight", (f"{ours}.mix",), CONV),
        *norm(f"{theirs}.3", f"{ours}.mix_norm"),
    ]


def _prompt_table() -> list[Entry]:
    theirs = ours = "prompt_encoder"
    tokens = {
        "point_embeddings.0": "negative",
        "point_embeddings.1": "positive",
        "point_embeddings.2": "first_corner",
        "point_embeddings.3": "second_corner",
        "not_a_point_embed": "no_point",
        "no_mask_embed": "no_mask",
    }
    return [
        Entry(f"{theirs}.pe_layer.positional_encoding_gaussian_matrix", (f"{ours}.frequencies",), MATRIX),
        *(Entry(f"{theirs}.{their}.weight", (f"{ours}.{our}",), MATRIX) for their, our in tokens.items()),
        *conv(f"{theirs}.mask_downscaling.0", f"{ours}.mask_patches.0"),
        *norm(f"{theirs}.mask_downscaling.1", f"{ours}.mask_norms.0"),
        *conv(f"{theirs}.mask_downscaling.3", f"{ours}.mask_patches.1"),
        *norm(f"{theirs}.mask_downscaling.4", f"{ours}.mask_norms.1"),
        *conv(f"{theirs}.mask_downscaling.6", f"{ours}.mask_patches.2"),
    ]


def _decoder_table(depth: int) -> list[Entry]:
    theirs = ours = "mask_decoder"
    table = [
        Entry(f"{theirs}.iou_token.weight", (f"{ours}.iou_token",), MATRIX),
        Entry(f"{theirs}.mask_tokens.weight", (f"{ours}.mask_tokens",), MATRIX),
    ]
    for i in range(depth):
        layer, block = f"{theirs}.transformer.layers.{i}", f"{ours}.transformer.blocks.{i}"
        table += [
            *_attention_table(f"{layer}.self_attn", f"{block}.among"),
            *_attention_table(f"{layer}.cross_attn_token_to_image", f"{block}.to_image"),
            *_attention_table(f"{layer}.cross_attn_image_to_token", f"{block}.to_tokens"),
            *linear(f"{layer}.mlp.lin1", f"{block}.widen"),
            *linear(f"{layer}.mlp.lin2", f"{block}.narrow"),
        ]
        for j in range(4):
            table += norm(f"{layer}.norm{j + 1}", f"{block}.norms.{j}")
    table += [
        *_attention_table(f"{theirs}.transformer.final_attn_token_to_image", f"{ours}.transformer.last"),
        *norm(f"{theirs}.transformer.norm_final_attn", f"{ours}.transformer.norm"),
        *norm(f"{theirs}.output_upscaling.1", f"{ours}.upscale_norm"),
    ]
    for i, layer in enumerate((0, 3)):
        table += [
            Entry(f"{theirs}.output_upscaling.{layer}.weight", (f"{ours}.upscale.{i}.kernel",), UPSCALE),
            Entry(f"{theirs}.output_upscaling.{layer}.bias", (f"{ours}.upscale.{i}.bias",), VECTOR),
        ]
    heads = {f"output_hypernetworks_mlps.{i}": f"mask_heads.{i}" for i in range(4)}
    for their, our in {**heads, "iou_prediction_head": "iou_head"}.items():
        for i in range(3):
            table += linear(f"{theirs}.{their}.layers.{i}", f"{ours}.{our}.layers.{i}")
    return table


def _attention_table(theirs: str, ours: str) -> list[Entry]:
    parts = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "out"}
    return [entry for their, our in parts.items() for entry in linear(f"{theirs}.{their}", f"{ours}.{our}")]
