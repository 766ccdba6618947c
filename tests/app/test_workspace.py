import json
import os

import numpy as np
import pytest
from PIL import Image

from tests.helpers.stand_in import bright_disc, save
from universeg_jax.app.proposal import Proposal
from universeg_jax.app.states import State
from universeg_jax.app.workspace import MaskChanged, Workspace
from universeg_jax.errors import InputError
from universeg_jax.io.task_folder import LABELLING, read_support

SIZE = (20, 24)


@pytest.fixture
def folder(tmp_path):
    for i in range(4):
        image, mask = bright_disc(i)
        save(tmp_path / "task" / "images" / f"s{i}.png", image)
        if i < 2:
            save(tmp_path / "task" / "masks" / f"s{i}.png", mask)
    return tmp_path / "task"


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def proposal(forecast=0.5):
    return Proposal(np.full((*SIZE, 1), 0.7, np.float16), None, forecast, ("s0",), "from one")


def test_masks_that_are_there_are_examples_and_opening_changes_nothing(folder):
    before = contents(folder)
    workspace = Workspace(folder)
    assert workspace.names == ["s0", "s1", "s2", "s3"]
    assert workspace.confirmed() == ["s0", "s1"]
    assert workspace.classes == {255: "class 255"}
    assert workspace.state("s3") is State.EMPTY
    assert contents(folder) == before


def test_what_is_saved_is_found_again_and_is_a_support_folder(folder):
    workspace = Workspace(folder)
    values = np.zeros(SIZE, int)
    values[3:9, 4:10] = 255
    workspace.save("s2", values, seen="", confirm=True)
    workspace.save("s3", values, seen="", confirm=False)
    workspace.name_class(255, "disc")
    again = Workspace(folder)
    np.testing.assert_array_equal(again.mask("s2"), values)
    assert (again.state("s2"), again.state("s3")) == (State.CONFIRMED, State.EDITED)
    assert again.classes == {255: "disc"}
    (folder / "images" / "s4.png").write_bytes((folder / "images" / "s0.png").read_bytes())
    support = read_support(folder)  # an image without a mask is no example yet
    assert support.names == ["s0", "s1", "s2", "s3"]
    assert support.class_names == {0: "0", 255: "disc"}


def test_a_confirmed_mask_that_was_not_edited_stays_byte_for_byte(folder):
    workspace, file = Workspace(folder), folder / "masks" / "s0.png"
    before = file.read_bytes()
    workspace.save("s0", workspace.mask("s0"), seen=workspace.token("s0"), confirm=True)
    assert file.read_bytes() == before


def test_two_tabs_do_not_overwrite_each_other(folder):
    workspace = Workspace(folder)
    seen, values = workspace.token("s0"), np.zeros(SIZE, int)
    workspace.save("s0", values, seen=seen, confirm=True)
    with pytest.raises(MaskChanged, match="s0: its mask was changed elsewhere"):
        workspace.save("s0", values + 255, seen=seen, confirm=True)
    np.testing.assert_array_equal(workspace.mask("s0"), values)


def test_a_full_disk_loses_nothing(folder, monkeypatch):
    workspace = Workspace(folder)
    before = contents(folder)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("universeg_jax.app.files.write_mask", full)
    with pytest.raises(OSError, match="No space"):
        workspace.save("s0", np.zeros(SIZE, int), seen=workspace.token("s0"), confirm=True)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.zeros((20, 20)), "is 20x20 .* but the image .* is 24x20"), (np.full(SIZE, 7), "holds the class 7")],
)
def test_masks_that_do_not_fit_are_refused(folder, values, message):
    with pytest.raises(InputError, match=message):
        Workspace(folder).save("s2", values, seen="", confirm=True)
    assert not (folder / "masks" / "s2.png").exists()


def test_proposals_survive_and_order_the_work(folder):
    workspace = Workspace(folder)
    workspace.propose("s2", proposal(forecast=0.9))
    workspace.propose("s3", proposal(forecast=0.4))
    assert workspace.order() == ["s3", "s2", "s0", "s1"]
    assert workspace.next_to_look_at() == "s3"
    again = Workspace(folder)
    assert again.state("s3") is State.PROPOSED
    assert again.forecast("s3") == pytest.approx(0.4)
    np.testing.assert_array_equal(again.proposal("s3").probability, proposal().probability)
    assert again.proposal("s3").examples == ("s0",)
    assert not (folder / "masks" / "s3.png").exists()  # a proposal is no mask


def test_an_edited_mask_is_not_replaced_by_a_proposal(folder):
    workspace, values = Workspace(folder), np.full(SIZE, 255)
    workspace.save("s2", values, seen="", confirm=False)
    workspace.propose("s2", proposal())
    assert workspace.state("s2") is State.EDITED
    np.testing.assert_array_equal(workspace.mask("s2"), values)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b'{"images": 5, "masks": {"s0": "x"}}'])
def test_damaged_states_are_found_again_from_the_masks(folder, content):
    (folder / LABELLING).mkdir()
    (folder / LABELLING / "states.json").write_bytes(content)
    assert Workspace(folder).confirmed() == ["s0", "s1"]


def test_damaged_proposals_count_as_none(folder):
    Workspace(folder).propose("s2", proposal())
    for file in (folder / LABELLING / "proposals").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert Workspace(folder).proposal("s2") is None


def test_opening_again_reads_only_masks_that_changed(folder, monkeypatch):
    Workspace(folder).save("s2", np.full(SIZE, 255), seen="", confirm=True)
    monkeypatch.setattr("universeg_jax.app.files.read_mask", lambda file: pytest.fail(f"{file} is read again"))
    assert Workspace(folder).confirmed() == ["s0", "s1", "s2"]


def test_thumbnails_are_made_once(folder, monkeypatch):
    workspace = Workspace(folder)
    first = workspace.thumbnail("s0")
    monkeypatch.setattr("universeg_jax.app.files.read_image", lambda file: pytest.fail("is read again"))
    assert workspace.thumbnail("s0").tobytes() == first.tobytes()


def test_pictures_may_lie_in_the_folder_itself(tmp_path):
    save(tmp_path / "a.png", bright_disc(0)[0])
    Workspace(tmp_path).save("a", np.ones(SIZE, int), seen="", confirm=True)
    assert Image.open(tmp_path / "masks" / "a.png").getextrema() == (1, 1)
    assert Workspace(tmp_path).confirmed() == ["a"]
    assert read_support(tmp_path).names == ["a"]


def test_classes_can_be_added_and_named(tmp_path):
    save(tmp_path / "a.png", bright_disc(0)[0])
    workspace = Workspace(tmp_path)
    assert workspace.add_class() == 2
    with pytest.raises(InputError, match="another class has it"):
        workspace.name_class(2, "class 1")
    for name in ("", " ", "a\nb", "x" * 41, "\x1b[31m"):
        with pytest.raises(InputError, match="printable characters"):
            workspace.name_class(1, name)
    workspace.name_class(1, "disc")
    assert json.loads((tmp_path / "classes.json").read_text()) == {"1": "disc", "2": "class 2"}
    assert Workspace(tmp_path).classes == {1: "disc", 2: "class 2"}


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "s0/../s1", "", "missing"])
def test_names_that_are_no_image_reach_no_file(folder, name):
    (folder.parent / "secret.png").write_bytes(b"x")
    workspace = Workspace(folder)
    for call in (workspace.image, workspace.mask, workspace.token, workspace.thumbnail):
        with pytest.raises(InputError, match="there is no such image"):
            call(name)


def test_links_out_of_the_folder_are_refused(folder):
    outside = save(folder.parent / "outside.png", bright_disc(9)[0])
    os.symlink(outside, folder / "images" / "s9.png")
    with pytest.raises(InputError, match="link to a file outside"):
        Workspace(folder)


def test_masks_without_image_and_missing_folders_are_named(folder, tmp_path):
    save(folder / "masks" / "s7.png", bright_disc(7)[1])
    with pytest.raises(InputError, match="no image for s7"):
        Workspace(folder)
    with pytest.raises(InputError, match="there is no such folder"):
        Workspace(tmp_path / "none")
