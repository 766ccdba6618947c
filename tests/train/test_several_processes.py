"""Two processes of two devices each, started as users start them."""

import os
import socket
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

from tests.helpers.array_run import compiling
from universeg_jax.train.checkpoints import Checkpoints
from universeg_jax.train.config_file import read_config
from universeg_jax.train.data import TrainingData
from universeg_jax.train.learner import UniverSegLearner, initial_model, initial_state, make_optimizer
from universeg_jax.train.monitor import read_metrics
from universeg_jax.train.step import Augmentation, Devices, TrainStep
from universeg_jax.weights.mapping import get_parameters
from universeg_jax.weights.store import load

pytestmark = pytest.mark.slow

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    PORT = free.getsockname()[1]

CONFIG = """
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.data.augment import Policy
from universeg_jax.train.config import Stage, TrainConfig

stage = Stage(size=64, steps=1, batch_size=4, support_size=(1, 2), learning_rate=1e-2)
config = TrainConfig(
    stages=(stage,) * STAGES,
    model=UniverSegConfig(encoder_features=((4, 4), (4, 4))),
    policy=Policy.none(),
    validation=0.5,
    validation_episodes=1,
    clip_norm=1e9,  # no clipping, so that the first moment of Adam shows the gradient
)
"""


def by_hand(rank):
    """Options for a process, and variables of its environment."""
    return ["--coordinator", f"127.0.0.1:{PORT}", "--processes", "2", "--process", str(rank)], {}


def as_slurm_does(rank):
    task = {"JOB_ID": os.getpid(), "STEP_NODELIST": "localhost", "NTASKS": 2, "PROCID": rank, "LOCALID": rank}
    return ["--distributed"], {f"SLURM_{name}": str(value) for name, value in (task | {"STEP_NUM_NODES": 1}).items()}


def launch(how, config, corpus, out, compiled, *options):
    options_of_jax = compiling(compiled) | {"jax_num_cpu_devices": 2, "jax_default_matmul_precision": "highest"}
    shared = {name.upper(): str(value) for name, value in options_of_jax.items()}
    command = [sys.executable, "-m", "experiments.train", config, "--corpus", corpus, "--out", out, "--quiet", *options]
    logs, processes = [out.parent / f"{out.name}-{rank}.log" for rank in range(2)], []
    for rank, log in enumerate(logs):
        started, environment = how(rank)
        with log.open("wb") as file:
            every = dict(stdout=file, stderr=file, env=os.environ | shared | environment)
            processes.append(subprocess.Popen([*map(str, command), *started], **every))
    try:
        codes = [process.wait(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0, 0], [log.read_text()[-2000:] for log in logs]


def latest(config, out):
    with Checkpoints(out / "checkpoints") as checkpoints:
        like = Devices(1).replicate(initial_state(get_parameters(initial_model(config)), make_optimizer(config)))
        return checkpoints.restore(like, accept=lambda about: None)[0]


def gradient_on_one_device(config, corpus, index, parameters):
    stage = config.stages[index]
    keep = optax.trace(decay=0.0)
    step = TrainStep(UniverSegLearner(config).loss, keep, config.ema)
    take = Devices(1).compile(step, Augmentation(config.policy, config.seed))
    state = initial_state(get_parameters(initial_model(config)), keep)._replace(
        parameters=jax.tree.map(np.array, parameters)
    )
    batch = next(TrainingData(config, corpus).batches(stage, start=0))
    assert not batch.support_mask.all()
    return take(jax.tree.map(jax.numpy.asarray, state), batch)[0].optimizer.trace


def assert_close(gradient, expected):
    assert optax.tree.norm(expected) > 0.05
    assert optax.tree.norm(optax.tree.sub(gradient, expected)) < 1e-5 * optax.tree.norm(expected)


def test_two_processes_have_the_gradients_of_one_device(corpus, tmp_path, compiled_code):
    out = tmp_path / "run"
    configs = []
    for stages in (1, 2):
        file = tmp_path / f"{stages}.py"
        file.write_text(CONFIG.replace("STAGES", str(stages)))
        configs.append(file)
    launch(by_hand, configs[0], corpus, out, compiled_code)
    # Their checkpoint holds Adam's moments: 0.1 g after the first step.
    config = read_config(configs[1])
    first = latest(config, out)
    moments = optax.tree.get(first.optimizer, "mu")
    start = initial_state(get_parameters(initial_model(config)), make_optimizer(config)).parameters
    expected = gradient_on_one_device(config, corpus, 0, start)
    assert_close(jax.tree.map(lambda m: m / 0.1, moments), expected)

    # They resume with a further stage, each support set on the two devices of a process.
    launch(as_slurm_does, configs[1], corpus, out, compiled_code, "--support-devices", "2", "--set", "save_every", "1")
    after = optax.tree.get(latest(config, out).optimizer, "mu")
    expected = gradient_on_one_device(config, corpus, 1, first.parameters)
    assert_close(jax.tree.map(lambda m, before: (m - 0.9 * before) / 0.1, after, moments), expected)
    assert [line["step"] for line in read_metrics(out / "metrics.jsonl") if "loss" in line] == [1, 2]
    assert load(out / "best").config == load(out / "last").config
