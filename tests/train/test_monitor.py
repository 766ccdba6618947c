import json
import math

import jax
import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import RecordWriter

from tests.helpers.array_data import STAGE, TASKS, ArrayData, config
from universeg_jax.errors import InputError
from universeg_jax.train.learner import UniverSegLearner, initial_model
from universeg_jax.train.monitor import Monitor, Validation, read_metrics
from universeg_jax.weights.mapping import get_parameters


def curves(folder):
    """(step, name, value) of all scalars, in the order of the files, and the steps that later files take again."""
    import struct

    found, again = [], []
    for file in sorted((folder / "tensorboard").iterdir()):
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            again += [event.step] if event.HasField("session_log") else []
    return found, again


def test_everything_is_written_twice(tmp_path):
    with Monitor(tmp_path, first=0, steps=4, quiet=True) as watch:
        watch.log(1, loss=0.5, dice=0.25)
        watch.log(1, validation=0.75, validation_tasks={"a/b": 0.5, "c/d": 1.0})
        assert len(read_metrics(tmp_path / "metrics.jsonl")) == 2  # at once
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [
        {"step": 1, "loss": 0.5, "dice": 0.25},
        {"step": 1, "validation": 0.75, "validation_tasks": {"a/b": 0.5, "c/d": 1.0}},
    ]
    names = {"loss": 0.5, "dice": 0.25, "validation": 0.75, "validation_tasks/a/b": 0.5, "validation_tasks/c/d": 1.0}
    assert curves(tmp_path) == ([(1, name, value) for name, value in names.items()], [1])


def test_what_will_be_done_again_is_dropped(tmp_path):
    with Monitor(tmp_path, first=0, steps=9, quiet=True) as watch:
        for step in range(1, 6):
            watch.log(step, loss=float(step))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # cut off by a kill
    with Monitor(tmp_path, first=3, steps=9, quiet=True) as watch:
        watch.log(4, loss=40.0)
    lines = [(line["step"], line["loss"]) for line in read_metrics(tmp_path / "metrics.jsonl")]
    assert lines == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)]
    assert curves(tmp_path)[1] == [1, 4]


def test_one_process_of_a_run_writes(tmp_path):
    with Monitor(tmp_path, first=0, steps=4, quiet=True, leads=False) as watch:
        watch.log(1, loss=0.5)
        watch.step(dice=0.5, episodes=2, seconds=0.1)
    assert list(tmp_path.iterdir()) == []


def test_the_bar_shows_averages_and_not_the_time_of_compiling(tmp_path, capsys):
    with Monitor(tmp_path, first=0, steps=50) as watch:
        watch.step(dice=0.0, episodes=4, seconds=None)
        for _ in range(48):
            watch.step(dice=1.0, episodes=4, seconds=0.5)
        watch.show(validation=0.625)
        watch.step(dice=1.0, episodes=4, seconds=0.5)
        watch.say("a message")
    shown = capsys.readouterr().err
    assert f"dice={1 - math.pow(0.9, 49):.3f}" in shown
    assert "episodes/s=8.0" in shown
    assert "validation=0.625" in shown
    assert "50/50" in shown
    assert "a message\n" in shown


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(InputError, match=r"metrics.jsonl: cannot be written: File exists; .* Make room"):
        Monitor(tmp_path, first=0, steps=4, quiet=True)


def test_the_reader_of_this_test_reads_what_tensorboardx_writes(tmp_path):
    (tmp_path / "tensorboard").mkdir()
    writer = RecordWriter(str(tmp_path / "tensorboard" / "events"))
    writer.write(Event(step=3).SerializeToString())
    writer.close()
    assert curves(tmp_path) == ([], [])


@pytest.fixture(scope="module")
def episodes():
    return ArrayData().validation_episodes(STAGE)


def test_masks_are_those_of_the_network_and_scored(episodes):
    model = initial_model(config())
    scores, masks = Validation(UniverSegLearner(config()).predict, episodes).run(get_parameters(model))
    assert scores.keys() == masks.keys() == set(TASKS)
    for task, of_task in episodes.items():
        dice = []
        for mask, episode in zip(masks[task], of_task, strict=True):
            logits = model(episode.target[None], episode.support_images[None], episode.support_labels[None])
            expected, truth = np.asarray(logits)[0, ..., 0] >= 0, episode.target_label[..., 0] >= 0.5
            assert (mask == expected).mean() > 0.99
            dice.append(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
        assert scores[task] == pytest.approx(np.mean(dice))


def test_the_picture_shows_every_task(episodes, tmp_path):
    validation = Validation(UniverSegLearner(config()).predict, episodes)
    truth = {task: np.stack([e.target_label[..., 0] >= 0.5 for e in of]) for task, of in episodes.items()}
    validation.draw(tmp_path / "one.png", "step 1", dict.fromkeys(TASKS, 1.0), truth)
    validation.draw(tmp_path / "half.png", "step 1", {TASKS[0]: 1.0}, truth)
    one, half = (Image.open(tmp_path / name) for name in ("one.png", "half.png"))
    assert one.width == half.width
    assert one.height > 1.5 * half.height


def test_without_tasks_there_is_nothing_to_do():
    assert not Validation(UniverSegLearner(config()).predict, {})
    assert jax.tree.leaves(Validation(UniverSegLearner(config()).predict, {}).run({})) == []
