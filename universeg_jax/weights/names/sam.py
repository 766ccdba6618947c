"""SAM: names of its parameters in the released files (github.com/facebookresearch/segment-anything) and here.

MedSAM, MobileSAM and LiteMedSAM have the same names except for the image encoder (`names/tiny_vit.py`).
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from universeg_jax.errors import WeightsError
from universeg_jax.models.sam.image_encoder import ImageEncoderConfig
from universeg_jax.models.sam.model import SAM, SAM_DEVIATION, SAM_MEAN, SAMConfig
from universeg_jax.models.sam.tiny_vit import TinyViTConfig
from universeg_jax.weights.catalogue import release_of
from universeg_jax.weights.config_json import config_from_json
from universeg_jax.weights.mapping import CONV, MATRIX, VECTOR, Entry, conv, linear, norm
from universeg_jax.weights.names import Network, Tensors
from universeg_jax.weights.names.tiny_vit import count_tensors, infer_tiny_vit, tiny_vit_table, tiny_vit_unused

ENCODER = "image_encoder"


def infer_config(state_dict: Tensors, *, medsam: bool = False) -> SAMConfig:
    """Read the configuration from names and shapes of a released state dict.

    No file shows the number of heads of the decoder; it is always 8. No file shows the input size of a TinyViT either;
    it is the size that gives an image embedding of 64×64. A stem of 1×1 convolutions is LiteMedSAM's; its images are in
    [0,1].

    Args:
        medsam: whether images are in [0,1], without SAM's mean and deviation, which no file shows.

    Raises:
        WeightsError: the state dict is not of a SAM, or its parts do not fit together.
    """
    tiny = f"{ENCODER}.patch_embed.seq.0.c.weight" in state_dict
    try:
        encoder = infer_tiny_vit(state_dict) if tiny else _image_encoder(state_dict)
        grid = 64 if tiny else state_dict[f"{ENCODER}.pos_embed"].shape[1]
        plain = medsam or (isinstance(encoder, TinyViTConfig) and encoder.stem_stride == 1)
        return SAMConfig(
            encoder=encoder,
            mean=(0.0, 0.0, 0.0) if plain else SAM_MEAN,
            deviation=(1.0, 1.0, 1.0) if plain else SAM_DEVIATION,
            input_size=grid * encoder.stride,
            features=state_dict["mask_decoder.iou_token.weight"].shape[1],
            mask_features=state_dict["prompt_encoder.mask_downscaling.3.weight"].shape[0],
            decoder_depth=count_tensors(state_dict, "mask_decoder.transformer.layers.{}.mlp.lin1.weight"),
            decoder_mlp=state_dict["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
            iou_hidden=state_dict["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
        )
    except KeyError as error:
        raise WeightsError(f"these are not the weights of a SAM: {error.args[0]} is missing") from None
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise WeightsError(f"these are not the weights of a SAM: {error}") from None


def _image_encoder(state_dict: Tensors) -> ImageEncoderConfig:
    features, _, patch, _ = state_dict[f"{ENCODER}.patch_embed.proj.weight"].shape
    grid = state_dict[f"{ENCODER}.pos_embed"].shape[1]
    depth = count_tensors(state_dict, ENCODER + ".blocks.{}.attn.rel_pos_h")
    distances = [state_dict[f"{ENCODER}.blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    windows = {(count + 1) // 2 for count, _ in distances} - {grid}
    return ImageEncoderConfig(
        features=features,
        depth=depth,
        heads=features // distances[0][1],
        global_blocks=tuple(i for i, (count, _) in enumerate(distances) if (count + 1) // 2 == grid),
        window=min(windows, default=ImageEncoderConfig.window),
        patch=patch,
        mlp=state_dict[f"{ENCODER}.blocks.0.mlp.lin1.weight"].shape[0] // features,
    )


UPSCALE = (0, 2, 3, 1)  # a transposed convolution: (in,out,kh,kw) -> (in,kh,kw,out)
POSITIONS = (0, 1, 2, 3)


def sam_table(config: SAMConfig) -> list[Entry]:
    """Make the table of tensors of the released state dict."""
    if isinstance(config.encoder, TinyViTConfig):
        encoder = tiny_vit_table(config.encoder)
    else:
        encoder = _encoder_table(config.encoder.depth)
    return [*encoder, *_neck_table(), *_prompt_table(), *_decoder_table(config.decoder_depth)]


def sam_unused(config: SAMConfig) -> set[str]:
    """Return names that a released state dict may hold and the model does not need."""
    return tiny_vit_unused(config.encoder) if isinstance(config.encoder, TinyViTConfig) else set()


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
    for i, place in enumerate((0, 3)):
        table += [
            Entry(f"{theirs}.output_upscaling.{place}.weight", (f"{ours}.upscale.{i}.kernel",), UPSCALE),
            Entry(f"{theirs}.output_upscaling.{place}.bias", (f"{ours}.upscale.{i}.bias",), VECTOR),
        ]
    heads = {f"output_hypernetworks_mlps.{i}": f"mask_heads.{i}" for i in range(4)}
    for their, our in {**heads, "iou_prediction_head": "iou_head"}.items():
        for i in range(3):
            table += linear(f"{theirs}.{their}.layers.{i}", f"{ours}.{our}.layers.{i}")
    return table


def _attention_table(theirs: str, ours: str) -> list[Entry]:
    parts = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "out"}
    return [entry for their, our in parts.items() for entry in linear(f"{theirs}.{their}", f"{ours}.{our}")]


def is_medsam(file: str | os.PathLike, state_dict: Tensors, *, medsam: bool | None = None) -> bool:
    """Tell whether a file of a SAM takes images in [0,1] as they are, as MedSAM does, or minus SAM's mean.

    If the shapes do not show it, the file is compared with the released ones. A wrong guess would give worse masks
    without an error.

    Args:
        state_dict: content of the file.
        medsam: answer of the user; None without one.

    Raises:
        WeightsError: the file is a released one of the other kind; or it is neither SAM's nor MedSAM's, and the user
            gives no answer; or it is not of a SAM.
    """
    alike = SAM_NETWORK.releases_like(infer_config(state_dict))
    doubtful = len({_mean(release.config) for release in alike}) > 1
    if medsam is None and not doubtful:
        return False
    known = release_of(file) if alike else None
    if known is None and medsam is None:
        names = " or ".join(release.name for release in alike)
        raise WeightsError(
            f"this is the network of {names}, but the released file of neither, and nothing in it shows whether images "
            f"are in [0,1] (MedSAM) or minus a mean (SAM): universeg-jax convert sam {file} --out DIR with --medsam or "
            "--no-medsam"
        )
    if known is None:
        return bool(medsam)
    found = _mean(known.config) == SAMConfig.medsam().mean
    if medsam not in (None, found):
        raise WeightsError(f"this is the released file of {known.name}: leave out --{'' if medsam else 'no-'}medsam")
    return found


def _mean(config: Any) -> tuple[float, ...]:
    return config.mean


def _read_options(file: Any, state_dict: Tensors, *, medsam: bool | None = None) -> dict[str, Any]:
    return {"medsam": is_medsam(file, state_dict, medsam=medsam)}


def _from_json(values: Mapping[str, Any]) -> SAMConfig:
    kind = TinyViTConfig if "stem_stride" in values["encoder"] else ImageEncoderConfig
    return config_from_json(SAMConfig, {**values, "encoder": config_from_json(kind, values["encoder"])})


def _describe(model: SAM) -> list[str]:
    config, encoder = model.config, model.config.encoder
    plain = set(config.mean) == {0.0} and set(config.deviation) == {1.0}
    if isinstance(encoder, TinyViTConfig):
        kind = f"TinyViT of {encoder.features} features, {encoder.depths} blocks"
    else:
        kind = f"ViT of {encoder.features} features, {encoder.depth} blocks"
    return [
        f"SAM with a {kind}, for images of {config.input_size} pixels",
        "intensities in [0,1] as they are" if plain else "SAM's mean and deviation of colours",
    ]


SAM_NETWORK = Network(
    name="sam",
    model=SAM,
    config=SAMConfig,
    signs={
        f"{ENCODER}.patch_embed.seq.0.c.weight": "of a SAM with a TinyViT, as MobileSAM and LiteMedSAM are",
        f"{ENCODER}.patch_embed.proj.weight": "of a SAM",
    },
    table=sam_table,
    infer_config=infer_config,
    to_json=asdict,
    from_json=_from_json,
    describe=_describe,
    hidden=frozenset({"mean", "deviation", "decoder_heads", "decoder_epsilon"}),
    unused=sam_unused,
    read_options=_read_options,
)


def sam_from(state_dict: Tensors, *, medsam: bool = False) -> SAM:
    """Make a SAM of a released state dict; raises as `Network.make`.

    Args:
        medsam: whether it was trained on images in [0,1] without SAM's mean and deviation, as MedSAM was.
    """
    return SAM_NETWORK.make(state_dict, medsam=medsam)
