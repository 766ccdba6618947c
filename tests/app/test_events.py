"""Events of the page, with the values that a browser would send."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.helpers.stand_in import Brightness, bright_disc, save
from universeg_jax.app.image_list import ImageList
from universeg_jax.app.server import private_cache
from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace
from universeg_jax.segment.segmenter import Segmenter

DRAWING = (0.5, 0.5, "fill")  # threshold, opacity, style


@pytest.fixture
def events(tmp_path):
    with private_cache():
        from universeg_jax.app.events import Events
        from universeg_jax.app.propose import Proposer

        for i in range(4):
            image, mask = bright_disc(i)
            save(tmp_path / "images" / f"s{i}.png", image)
            if i < 2:
                save(tmp_path / "masks" / f"s{i}.png", mask // 255)
        workspace = Workspace(tmp_path)
        yield Events(workspace, Proposer(workspace, lambda: Segmenter(Brightness())), None)


def opened(events, name):
    return events._open(name, *DRAWING)[0]


def value(layer, where=None):
    """Return the value of the editor that shows a layer, painted in the first colour at some pixels."""
    pixels = layer.pixels.copy()
    if where is not None:
        pixels[where] = (*(int("E69F00"[i : i + 2], 16) for i in (0, 2, 4)), 255)
    return {"background": None, "layers": [pixels], "composite": None}


def stroke(layer):
    where = np.zeros(layer.values.shape, bool)
    where[1:4, 2:6] = True
    return where & (layer.values == 0)


@pytest.mark.parametrize("kind", ["threshold", "opacity", "style"])
def test_strokes_before_a_change_of_the_drawing_are_saved(events, kind):
    now = opened(events, "s2")
    where = stroke(now.layer)
    changed = {"threshold": (0.3, 0.5, "fill"), "opacity": (0.5, 0.9, "fill"), "style": (0.5, 0.5, "outline")}[kind]
    now, _ = events.redraw(now, value(now.layer, where), *changed)
    now = events.leave(now, value(now.layer))
    np.testing.assert_array_equal(events.workspace.mask("s2") == 1, where)
    assert not now.unsaved
    assert events.workspace.state("s2") is State.EDITED


def test_a_threshold_changes_a_proposal_but_no_painted_pixel(events):
    events.propose(opened(events, "s2"), 1)
    now = opened(events, "s2")
    where = stroke(now.layer)
    before = now.layer.values
    now, _ = events.redraw(now, value(now.layer, where), 0.95, 0.5, "fill")
    assert now.layer.values[where].all()
    assert (now.layer.values > 0).sum() < (before > 0).sum() + where.sum()


def test_looking_at_an_image_saves_nothing(events):
    now = opened(events, "s2")
    events.leave(now, value(now.layer))
    now, _ = events.redraw(now, value(now.layer), 0.3, 0.9, "outline")
    events.leave(now, value(now.layer))
    assert events.workspace.state("s2") is State.EMPTY
    assert not (events.workspace.folder / "masks" / "s2.png").exists()


def test_strokes_during_a_proposal_stay_in_the_editor(events):
    import gradio as gr

    now = opened(events, "s2")
    asked, text, _ = events.propose(now, 1)
    assert text.startswith("Expected Dice")
    painted = value(now.layer, stroke(now.layer))
    shown = events.show_proposal(asked, now, painted, *DRAWING)
    assert [isinstance(one, dict) and one.get("__type__") == "update" and len(one) == 1 for one in shown[:3]] == [
        True
    ] * 3
    assert events.draw(now, painted) == shown[0]  # nothing is drawn over the strokes
    assert events.show_proposal(asked, now, value(now.layer), *DRAWING)[0].proposed.any()
    elsewhere = opened(events, "s3")
    assert events.show_proposal(asked, elsewhere, value(elsewhere.layer), *DRAWING)[0] == gr.skip()


def test_a_proposal_can_take_the_place_of_a_mask(events):
    now = opened(events, "s2")
    events.leave(now, value(now.layer, stroke(now.layer)))
    now = opened(events, "s2")
    asked, *_ = events.propose(now, 1)
    assert events.show_proposal(asked, now, value(now.layer), *DRAWING)[0] != now  # the mask stays in the editor
    before = events.workspace.mask("s2")
    now = events.use_proposal(now, *DRAWING)[0]
    np.testing.assert_array_equal(events.workspace.mask("s2"), before)
    events.leave(now, value(now.layer))
    np.testing.assert_array_equal(events.workspace.mask("s2"), now.layer.values)


def test_the_list_is_shown_before_its_thumbnails_are_made(events):
    sheets = list(events.list.fill("All", 1))
    grey = sheets[0][0]["value"][0][0]
    assert {path for path, _ in sheets[0][0]["value"]} == {grey}
    assert len({path for path, _ in sheets[-1][0]["value"]} - {grey}) == 4
    assert len(list(events.list.fill("All", 1))) == 1


def test_damaged_files_are_listed_explained_and_cannot_be_opened(events):
    import gradio as gr

    for file in ("images/s3.png", "masks/s1.png"):
        (events.workspace.folder / file).write_bytes(b"damaged")
    events.proposer.prepare()
    gallery, text, _ = list(events.list.fill("All", 1))[-1]
    captions = [caption for _, caption in gallery["value"]]
    assert "s3\n✕ unusable" in captions
    assert "s1\n✕ unusable" in captions
    assert "✕ images/s3.png: is not a PNG" in text
    assert "✕ masks/s1.png: is not a PNG" in text
    for name in ("s1", "s3"):
        with pytest.raises(gr.Error, match=f"{name}.png: is not a PNG"):
            opened(events, name)
    assert events.open_next(opened(events, "s2"), *DRAWING)[0].name == "s2"
    events.workspace.save("s2", np.zeros((20, 24), int), seen="", confirm=True)
    assert events.open_next(opened(events, "s2"), *DRAWING)[0].name == "s2"  # no other image is left


def test_a_page_whose_first_image_is_damaged_opens_with_another(events):
    (events.workspace.folder / "images" / "s2.png").write_bytes(b"damaged")
    assert events.first_picture().shape == (20, 24, 3)
    assert events.workspace.problem("s2")


def test_long_names_lose_their_middle_in_the_list_and_open_the_right_image(tmp_path):
    names = ["slide-2024-03-11-field-001", "slide-2024-03-11-field-002", "slide-2025-03-11-field-002", "b"]
    for name in names:
        save(tmp_path / f"{name}.png", bright_disc(0)[0])
    images = ImageList(Workspace(tmp_path))
    captions = {name: images.caption(name) for name in names}
    assert captions[names[0]] == "slide…field-001\n○ empty"
    assert captions[names[1]].startswith(names[1])  # the short form would be another image's, too
    assert [images.named(captions[name]) for name in names] == names


def test_clicks_into_a_magnified_picture_are_points_of_the_image(events):
    asked = []

    class Prompts:
        def segment(self, name, points, *, box):
            asked.append((points, box))
            found = np.zeros((20, 24), bool)
            found[4 : 4 + len(points), 10] = True
            return found

    events.clicks._prompter = Prompts
    now = opened(events, "s2")
    with Image.open(events._open("s2", *DRAWING)[7]) as shown:
        assert shown.size == (480, 400)
    for click in ((210, 95), (479, 399)):
        event = SimpleNamespace(index=list(click))
        now, *_ = events.clicks.clicked(now, value(now.layer), "Click", 1, *DRAWING, event)
    assert asked == [(((10, 4),), False), (((10, 4), (23, 19)), False)]
    assert events.workspace.mask("s2").sum() == 2  # the second structure has replaced the first
    np.testing.assert_array_equal(now.layer.values, events.workspace.mask("s2"))


def test_progress_is_shown_again_after_each_new_list(events, monkeypatch):
    monkeypatch.setattr("universeg_jax.app.events.OFTEN", 1)
    shown = []
    many = events.propose_all("All", 1, 1, progress=lambda at, desc: shown.append((*at, desc)))
    next(many)
    assert shown == [(0, 2, "preparing the examples"), (1, 2, "proposed s2")]
    next(many)
    assert shown[2:] == [(1, 2, "proposed s2"), (2, 2, "proposed s3")]
    list(many)
    assert [events.workspace.state(name) for name in ("s2", "s3")] == [State.PROPOSED] * 2
