"""What the names and shapes in a file tell about the SAM in it."""

from collections.abc import Mapping
from math import isqrt, prod

import numpy as np

from universeg_jax.errors import WeightsError
from universeg_jax.models.protosam.sam import SAMConfig
from universeg_jax.models.protosam.sam_encoder import ImageEncoderConfig
from universeg_jax.models.protosam.tiny_vit import TinyViTConfig

ENCODER = "image_encoder"
Tensors = Mapping[str, np.ndarray]


def infer_config(state_dict: Tensors, *, medsam: bool = False) -> SAMConfig:
    """The configuration that the names and shapes in a released state dict imply.

    No file shows the heads of the decoder, which are always 8, nor the input size of a TinyViT: it is what gives an
    image embedding of 64×64. A stem of 1×1 convolutions is LiteMedSAM's, whose images are in [0,1].

    Raises:
        WeightsError: the names are not those of a SAM, or its parts do not fit together.
    """
    tiny = f"{ENCODER}.patch_embed.seq.0.c.weight" in state_dict
    try:
        encoder = _tiny_vit(state_dict) if tiny else _image_encoder(state_dict)
        grid = 64 if tiny else state_dict[f"{ENCODER}.pos_embed"].shape[1]
        plain = medsam or (tiny and encoder.stem_stride == 1)
        intensities = dict(mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0)) if plain else {}
        return SAMConfig(
            encoder=encoder,
            input_size=grid * encoder.stride,
            features=state_dict["mask_decoder.iou_token.weight"].shape[1],
            mask_features=state_dict["prompt_encoder.mask_downscaling.3.weight"].shape[0],
            decoder_depth=_count(state_dict, "mask_decoder.transformer.layers.{}.mlp.lin1.weight"),
            decoder_mlp=state_dict["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
            iou_hidden=state_dict["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
            **intensities,
        )
    except KeyError as error:
        raise WeightsError(f"these are not the weights of a SAM: {error.args[0]} is missing") from None
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise WeightsError(f"these are not the weights of a SAM: {error}") from None


def _image_encoder(state_dict: Tensors) -> ImageEncoderConfig:
    features, _, patch, _ = state_dict[f"{ENCODER}.patch_embed.proj.weight"].shape
    grid = state_dict[f"{ENCODER}.pos_embed"].shape[1]
    depth = _count(state_dict, ENCODER + ".blocks.{}.attn.rel_pos_h")
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


def _tiny_vit(state_dict: Tensors) -> TinyViTConfig:
    stages = 1 + _count(state_dict, ENCODER + ".layers.{}.downsample.conv1.c.weight")
    features = [state_dict[f"{ENCODER}.patch_embed.seq.2.c.weight"].shape[0]]
    features += [state_dict[f"{ENCODER}.layers.{i}.downsample.conv1.c.weight"].shape[0] for i in range(stages - 1)]
    depths = [_count(state_dict, ENCODER + ".layers.0.blocks.{}.conv1.c.weight")]
    heads, windows = [TinyViTConfig.heads[0]], [TinyViTConfig.windows[0]]
    for stage in range(1, stages):
        name = f"{ENCODER}.layers.{stage}.blocks" + ".{}.attn.attention_biases"
        depths.append(_count(state_dict, name))
        biases = state_dict[name.format(0)]
        heads.append(biases.shape[0])
        windows.append(isqrt(biases.shape[1]))
    return TinyViTConfig(
        features=tuple(features),
        depths=tuple(depths),
        heads=tuple(heads),
        windows=tuple(windows),
        merge_strides=TinyViTConfig.merge_strides[: stages - 1],
        stem_stride=2 if prod(state_dict[f"{ENCODER}.patch_embed.seq.0.c.weight"].shape[2:]) > 1 else 1,
    )


def _count(state_dict: Tensors, name: str) -> int:
    """How many tensors there are of a name with a number in it, from 0."""
    count = 0
    while name.format(count) in state_dict:
        count += 1
    return count
