import json
import math

import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import RecordWriter

from universeg_jax.errors import InputError
from universeg_jax.train.monitor import Monitor, read_metrics


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
