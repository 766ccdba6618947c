"""Folders of weights."""

import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from tests.helpers.official import SMALL, official_state_dict
from universeg_jax.errors import WeightsError
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights import store
from universeg_jax.weights.mapping import blueprint
from universeg_jax.weights.names.universeg import export_universeg, import_universeg, universeg_from


def assert_same(model, other):
    assert model.config == other.config
    expected = export_universeg(other)
    for name, tensor in export_universeg(model).items():
        np.testing.assert_array_equal(tensor, expected[name], err_msg=name)


@pytest.fixture
def model():
    return universeg_from(official_state_dict(SMALL))


@pytest.fixture
def folder(model, tmp_path):
    store.save(model, tmp_path / "weights")
    return tmp_path / "weights"


@pytest.mark.parametrize(
    "config",
    [
        UniverSegConfig(SMALL),
        UniverSegConfig(SMALL, ((2, 2), (3, 3)), jax.nn.gelu, input_size=64),
        UniverSegConfig(((1, 2), (3, 1)), cross_activation=jax.nn.leaky_relu),
    ],
)
def test_what_is_saved_is_loaded(config, tmp_path):
    model = blueprint(UniverSeg, config)
    import_universeg(model, official_state_dict(config.encoder_features, config.decoder, seed=1))
    store.save(model, tmp_path / "new" / "weights", provenance={"source": "here"})
    loaded = store.load(tmp_path / "new" / "weights")
    assert_same(loaded, model)
    assert store.read_description(tmp_path / "new" / "weights")["provenance"] == {"source": "here"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["weights"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_weights_come_back_on_the_default_device_whatever_they_were_saved_from(model, tmp_path):
    mesh = jax.make_mesh((4,), ("data",))
    everywhere = jax.device_put(model, NamedSharding(mesh, PartitionSpec()))
    store.save(everywhere, tmp_path / "weights")
    loaded = store.load(tmp_path / "weights")
    assert loaded.head.bias[...].devices() == {jax.devices()[0]}
    assert_same(loaded, model)


def test_existing_files_are_replaced_only_with_overwrite(model, folder):
    other = universeg_from(official_state_dict(SMALL, seed=9))
    with pytest.raises(WeightsError, match="exists"):
        store.save(other, folder)
    assert_same(store.load(folder), model)
    store.save(other, folder, overwrite=True)
    assert_same(store.load(folder), other)
    assert [path.name for path in folder.parent.iterdir()] == ["weights"]


def test_a_folder_of_other_things_is_never_replaced(model, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("precious")
    with pytest.raises(WeightsError, match="holds no weights"):
        store.save(model, tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "precious"


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_is_left_of_an_interrupted_save(model, tmp_path, overwrite):
    if overwrite:
        store.save(model, tmp_path / "weights")

    def interrupted():
        with store.new_folder(tmp_path / "weights", overwrite=overwrite) as new:
            store.save(universeg_from(official_state_dict(SMALL, seed=9)), new)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["weights"] * overwrite
    if overwrite:
        assert_same(store.load(tmp_path / "weights"), model)


def test_a_place_that_cannot_be_written_is_named(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="file"):
        store.save(model, tmp_path / "file" / "weights")


def test_an_activation_without_a_name_cannot_be_saved(tmp_path):
    model = universeg_from(official_state_dict(SMALL), cross_activation=lambda x: x)
    with pytest.raises(WeightsError, match=r"jax\.nn\.leaky_relu"):
        store.save(model, tmp_path / "weights")
    assert not list(tmp_path.iterdir())


def test_a_folder_does_not_tell_where_it_was_written(folder):
    for path in folder.rglob("*"):
        assert not path.is_file() or str(folder.parent).encode() not in path.read_bytes(), path


def test_every_damaged_file_is_named(folder, tmp_path):
    files = sorted(path.relative_to(folder) for path in (folder / store.PARAMETERS).rglob("*") if path.is_file())
    for file in files:
        content = (folder / file).read_bytes()
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 0x10
        for damage in (None, b"", content[: len(content) // 2], bytes(flipped)):
            damaged = tmp_path / "damaged"
            shutil.copytree(folder, damaged)
            (damaged / file).unlink() if damage is None else (damaged / file).write_bytes(damage)
            with pytest.raises(WeightsError) as caught:
                store.load(damaged)
            assert str(damaged) in str(caught.value)
            assert file.name in str(caught.value)
            shutil.rmtree(damaged)
    assert len(files) > 3


def test_a_description_cut_off_anywhere_is_an_error_that_names_it(folder):
    path = folder / store.DESCRIPTION
    content = path.read_bytes()
    for length in range(0, len(content) - 2, 7):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=r"universeg\.json"):
            store.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"model": "ProtoSAM"}, "UniverSeg"),
        ({"config": None}, "incomplete"),
        ({"sha256": None}, "incomplete"),
        ({"config": {"encoder_features": [[2, 3]]}}, "makes no sense"),
        ({"config": {"encoder_features": [[2, 3], [4, -5]]}}, "makes no sense"),
        ({"config": {"cross_activation": "swish"}}, "'swish', known are elu, gelu, leaky_relu"),
        ({"config": {"cross_activation": ["relu"]}}, "makes no sense"),
        ({"config": {"encoder_features": [[2, 3], [4, 5], [3, 3]]}}, "cannot be read"),
        ({"config": {"encoder_features": [[10**6, 10**6]] * 3}}, "is 1000000, must be 0 to 16384"),
        ({"config": {"encoder_features": [[2, 2]] * 3000}}, "has 3000 entries, may have 64"),
        *[({"config": {"input_size": size}}, "input_size is") for size in (0, -1, 6, 10**18, 1.5, "128", True)],
        ({"config": {"input_size": float("inf")}}, "Infinity is not JSON"),
        ({"sha256": {"gone": ""}}, "missing, damaged or without checksum: .*gone"),
        ({"sha256": {}}, "missing, damaged or without checksum: _CHECKPOINT_METADATA"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(folder, change, message):
    path = folder / store.DESCRIPTION
    description = json.loads(path.read_text())
    if change.get("config"):
        change = {"config": {**description["config"], **change["config"]}}
    path.write_text(json.dumps({**description, **change}))
    with pytest.raises(WeightsError, match=message):
        store.load(folder)


def test_what_is_no_folder_of_weights_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "notes.txt"):
        with pytest.raises(WeightsError, match="not a folder of weights"):
            store.load(path)


@pytest.mark.slow
def test_saving_and_loading_are_silent(folder, tmp_path):
    program = (
        "import sys; from universeg_jax.weights import store; model = store.load(sys.argv[1]); "
        "store.save(model, sys.argv[2]); store.load(sys.argv[2])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, folder, tmp_path / "again"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_full_disk_is_one_error_without_a_traceback(folder, tmp_path):
    program = f"""
import resource, signal
from universeg_jax.errors import WeightsError
from universeg_jax.weights import store
model = store.load({str(folder)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    store.save(model, {str(tmp_path / "full")!r})
except WeightsError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{tmp_path / 'full'}: the parameters cannot be written")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "full").exists()
