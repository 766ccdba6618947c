"""Files whose shapes are SAM's and MedSAM's alike, with small networks in the place of both."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.protosam_networks import TINY_VIT, VIT, released_state_dict
from universeg_jax.cli.main import main
from universeg_jax.errors import WeightsError
from universeg_jax.models.sam.model import SAM_MEAN, SAMConfig
from universeg_jax.util.files import Sha256
from universeg_jax.weights import catalogue, load, save_torch
from universeg_jax.weights.catalogue import SAMS
from universeg_jax.weights.names.sam import infer_config, is_medsam

PLAIN_MEAN = SAMConfig.medsam().mean
STATE_DICT = released_state_dict(VIT)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files of SAM and of MedSAM, which are known, and of somebody else."""
    files = {name: tmp_path / f"{name}.pth" for name in ("sam-vit-b", "medsam-vit-b", "other")}
    for number, file in enumerate(files.values()):
        save_torch(STATE_DICT | {"mask_decoder.iou_token.weight": np.full((1, 32), number, np.float32)}, file)
    small = [
        replace(
            next(release for release in SAMS if release.name == name),
            digest=Sha256.of(files[name]),
            config=infer_config(STATE_DICT, medsam=name == "medsam-vit-b"),
        )
        for name in ("sam-vit-b", "medsam-vit-b")
    ]
    monkeypatch.setattr(catalogue, "RELEASES", tuple(small))
    return files


@pytest.mark.parametrize(("name", "mean"), [("sam-vit-b", SAM_MEAN), ("medsam-vit-b", PLAIN_MEAN)])
def test_released_files_are_known_by_their_digest_under_any_name(files, tmp_path, name, mean, capsys):
    file = files[name].rename(tmp_path / "renamed.pth")
    assert load(file).config.mean == mean
    assert main(["convert", "sam", str(file), "--out", str(tmp_path / "new")]) == 0
    assert load(tmp_path / "new").config.mean == mean


def test_another_file_is_refused_until_it_is_said_which_it_is(files, tmp_path, capsys):
    file, out = files["other"], tmp_path / "new"
    with pytest.raises(WeightsError, match=rf"other\.pth: this is the network of sam-vit-b or medsam-vit-b, .*{file}"):
        load(file)
    assert main(["convert", "sam", str(file), "--out", str(out)]) == 2
    assert "with --medsam or --no-medsam" in capsys.readouterr().err
    assert not out.exists()
    for option, mean in (("--medsam", PLAIN_MEAN), ("--no-medsam", SAM_MEAN)):
        assert main(["convert", "sam", str(file), "--out", str(out), option, "--overwrite"]) == 0
        assert load(out).config.mean == mean


@pytest.mark.parametrize(("name", "option"), [("sam-vit-b", "--medsam"), ("medsam-vit-b", "--no-medsam")])
def test_what_is_said_of_a_released_file_must_be_true(files, tmp_path, name, option, capsys):
    assert main(["convert", "sam", str(files[name]), "--out", str(tmp_path / "new"), option]) == 2
    assert f"this is the released file of {name}: leave out {option}" in capsys.readouterr().err


def test_where_shapes_tell_files_are_not_read(tmp_path):
    assert not is_medsam(tmp_path / "none.pth", released_state_dict(TINY_VIT))
    assert is_medsam(tmp_path / "none.pth", released_state_dict(TINY_VIT), medsam=True)
