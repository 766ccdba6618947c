"""`universeg-jax convert sam` and `dinov2`."""

import os
import pickle
import re

import numpy as np
import pytest

from tests.helpers.official import SMALL, official_state_dict
from tests.helpers.protosam_networks import PLAIN, REGISTERS, TINY_VIT, VIT, released_state_dict
from tests.helpers.torch_crafting import zip_with
from universeg_jax.cli.main import main
from universeg_jax.models.dinov2 import DINOv2Config
from universeg_jax.models.sam.model import SAMConfig
from universeg_jax.weights import load, save_torch, store
from universeg_jax.weights.mapping import export_tensors
from universeg_jax.weights.names.dinov2 import UNUSED, dinov2_table
from universeg_jax.weights.names.sam import sam_table, sam_unused

# What a released file holds besides.
BESIDE = {
    "mask_token": np.zeros((1, 32), np.float32),
    "image_encoder.patch_embed.seq.0.bn.num_batches_tracked": np.array(7),
    "image_encoder.layers.1.blocks.0.attn.attention_bias_idxs": np.zeros((9, 9), np.int64),
    "image_encoder.norm_head.weight": np.ones(320, np.float32),
    "image_encoder.norm_head.bias": np.ones(320, np.float32),
    "image_encoder.head.weight": np.ones((1000, 320), np.float32),
    "image_encoder.head.bias": np.ones(1000, np.float32),
}
CASES = {
    "plain": ("dinov2", PLAIN, ["mask_token"], dinov2_table),
    "registers": ("dinov2", REGISTERS, ["mask_token"], dinov2_table),
    "vit": ("sam", VIT, [], sam_table),
    "tiny_vit": ("sam", TINY_VIT, [name for name in BESIDE if name.startswith("image")], sam_table),
}


def state_dict(case):
    _, config, beside, _ = CASES[case]
    return released_state_dict(config) | {name: BESIDE[name] for name in beside}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.pth"


@pytest.mark.parametrize("case", CASES)
def test_a_file_becomes_a_folder_that_holds_all_of_it(case, file, tmp_path, capsys):
    converter, config, beside, table = CASES[case]
    save_torch(state_dict(case), file)
    out = tmp_path / "new"
    assert main(["convert", converter, str(file), "--out", str(out), "--licence", "Apache-2.0"]) == 0
    model = load(out)
    for name, tensor in export_tensors(model, table(model.config)).items():
        np.testing.assert_array_equal(tensor, released_state_dict(config)[name])
    assert store.read_description(out)["provenance"]["licence"] == "Apache-2.0"
    printed = capsys.readouterr().out
    assert re.search(r"max difference 0\.0$", printed)
    assert (f"all used but {len(beside)} that" if beside else "parameters, all used\n") in printed
    from_file = load(file)
    assert from_file.config == model.config


def test_properties_that_a_file_does_not_show_are_options(file, tmp_path, capsys):
    save_torch(state_dict("vit"), file)
    main(["convert", "sam", str(file), "--out", str(tmp_path / "sam")])
    assert "SAM's mean" in capsys.readouterr().out
    main(["convert", "sam", str(file), "--out", str(tmp_path / "medsam"), "--medsam"])
    assert "as they are" in capsys.readouterr().out
    assert load(tmp_path / "sam").config.mean == VIT.mean
    assert load(tmp_path / "medsam").config.mean == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("converter", "tensors", "message"),
    [
        ("sam", state_dict("plain"), "not the weights of a SAM(?s:.*)of a DINOv2: universeg-jax convert dinov2"),
        (
            "sam",
            official_state_dict(SMALL),
            "not the weights of a SAM(?s:.*)of a UniverSeg: universeg-jax convert universeg",
        ),
        ("universeg", state_dict("plain"), "of a DINOv2: universeg-jax convert dinov2"),
        ("dinov2", state_dict("vit"), "not the weights of a DINOv2(?s:.*)of a SAM: universeg-jax convert sam"),
        ("dinov2", state_dict("tiny_vit"), "of a SAM with a TinyViT(?s:.*): universeg-jax convert sam"),
        ("dinov2", {"embeddings.patch_embeddings.projection.weight": np.zeros((2, 3, 14, 14), np.float32)}, "Hugging"),
        ("sam", {"fc.weight": np.zeros((2, 2), np.float32)}, "not the weights of a SAM: image_encoder.patch_embed"),
    ],
)
def test_files_of_other_networks_are_named(converter, tensors, message, file, tmp_path, capsys):
    save_torch(tensors, file)
    assert main(["convert", converter, str(file), "--out", str(tmp_path / "new")]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("case", ["registers", "tiny_vit"])
def test_everything_that_does_not_fit_is_listed(case, file, tmp_path, capsys):
    tensors = state_dict(case)
    first, second, third, *_ = [name for name in tensors if name.endswith("bias") and tensors[name].size > 4][5:]
    del tensors[first]
    tensors[second] = tensors[second][:-1]
    tensors[third] = tensors[third] * np.nan
    tensors["extra"] = np.zeros(3, np.float32)
    save_torch(tensors, file)
    assert main(["convert", CASES[case][0], str(file), "--out", str(tmp_path / "new")]) == 2
    message = capsys.readouterr().err
    for problem in (f"missing: {first}", f"wrong shape: {second}", f"NaN or infinite in float32: {third}"):
        assert problem in message
    assert "not expected: extra" in message
    assert "universeg-jax convert" not in message


def test_a_file_of_hugging_face_is_not_taken_for_something_else(file):
    save_torch({"vision_encoder.patch_embed.projection.weight": np.zeros((2, 3, 16, 16), np.float32)}, file)
    with pytest.raises(ValueError, match="Hugging Face"):
        load(file)


class Program:
    """Pickles as a call that makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("converter", ["sam", "dinov2"])
@pytest.mark.parametrize("kind", ["cut off", "program", "web page"])
def test_unusable_files_leave_nothing_but_one_line(converter, kind, file, tmp_path, capsys):
    save_torch(state_dict("vit" if converter == "sam" else "plain"), file)
    contents = {
        "cut off": file.read_bytes()[: file.stat().st_size // 2],
        "program": zip_with(pickle.dumps({"weight": Program(tmp_path / "canary")})),
        "web page": b"<!DOCTYPE html><title>404</title>",
    }
    file.write_bytes(contents[kind])
    assert main(["convert", converter, str(file), "--out", str(tmp_path / "new")]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(rf"error: {re.escape(str(file))}: .+\n", output.err)
    assert list(tmp_path.iterdir()) == [file]


def test_released_files_have_as_many_tensors():
    # Counted in the authors' networks; MobileSAM's file has what it does not need, too.
    for config, tensors in (
        (DINOv2Config.vits14(), 175),
        (DINOv2Config.vitb14(registers=4), 176),
        (DINOv2Config.vitl14(), 343),
        (DINOv2Config.vitg14(registers=4), 568),
    ):
        assert len(dinov2_table(config)) + len(UNUSED) == tensors
    for config, tensors in ((SAMConfig.vit_b(), 314), (SAMConfig.vit_l(), 482), (SAMConfig.vit_h(), 594)):
        assert len(sam_table(config)) == tensors
    mobile = SAMConfig.mobile_sam()
    in_file = [name for name in sam_unused(mobile) if not name.endswith("attention_bias_idxs")]
    assert len(sam_table(mobile)) + len(in_file) == 439
