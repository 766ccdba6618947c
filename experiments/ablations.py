"""Claim: short trainings gain by Muon and synthetic tasks, lose by augmentation and tiny labels; the rest is chance.

    python -m experiments.ablations --train TRAIN --corpus CORPUS --runs RUNS --out experiments/results/ablations

Each variant is a short training from scratch at 64 px that differs from the first one in one thing. All take the same
steps of the same network on the same order of tasks. All are measured on the held-out datasets of CORPUS at 64 px with
16 examples, and compared case by case with the unchanged training.

TRAIN is the corpus to learn from. RUNS keeps the trainings; a killed training resumes. A short training shows what
helps at the beginning: augmentation and variety cost steps that only a long training regains. Two quiet CPU cores take
twenty minutes.
"""

from dataclasses import replace
from pathlib import Path

import jax

from experiments.command import run
from experiments.comparison import held_out, make_parser, protocol_of, report
from experiments.configs.first_run import POLICY
from experiments.held_out import HELD_OUT
from universeg_jax.cache import keep_compiled_code
from universeg_jax.data.augment import Policy, Variation
from universeg_jax.evaluate.methods import InContext
from universeg_jax.evaluate.runner import evaluate
from universeg_jax.evaluate.summary import Condition
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.train.config import Stage, TrainConfig
from universeg_jax.train.loop import train
from universeg_jax.train.run_folder import LAST
from universeg_jax.weights import load

SIZE = 64
UNCHANGED = "unchanged"


def variants(steps: int) -> dict[str, TrainConfig]:
    """Configurations of the trainings by name; the unchanged one comes first."""
    base = TrainConfig(
        held_out=HELD_OUT,
        stages=(Stage(size=SIZE, steps=steps, batch_size=2, support_size=8, learning_rate=1e-3, warmup_steps=50),),
        muon=True,
        policy=POLICY,
        synthetic=0.2,
        validation=0.0,
        save_every=100,
        ema=0.99,
    )
    return {
        UNCHANGED: base,
        "Adam instead of Muon": replace(base, muon=False),
        "no augmentation": replace(base, policy=Policy.none()),
        "in-task augmentation only": replace(base, policy=Policy(in_task=POLICY.in_task)),
        "task augmentation only": replace(base, policy=replace(POLICY, in_task=Variation())),
        "no synthetic tasks": replace(base, synthetic=0.0),
        "10 % of the tasks": replace(base, training=0.1),
        "nonlinear cross-convolution": replace(base, model=UniverSegConfig(cross_activation=jax.nn.leaky_relu)),
        "six stages instead of four": replace(base, model=UniverSegConfig(encoder_features=((64, 64),) * 6)),
        "no small labels": replace(base, minimum_area=0.008, minimum_support=4),
    }


def main() -> None:
    parser = make_parser(__doc__, support=[16], draws=2, targets=32, weights=False)
    parser.add_argument("--train", type=Path, required=True, metavar="TRAIN", help="the corpus to learn from")
    parser.add_argument("--runs", type=Path, required=True, metavar="RUNS", help="folder of the trainings")
    parser.add_argument("--steps", type=int, default=300, help="steps of each training (default: %(default)s)")
    arguments = parser.parse_args()
    keep_compiled_code()
    methods = []
    for name, config in variants(arguments.steps).items():
        run = arguments.runs / name.replace(" ", "_").replace("%", "percent")
        train(config, arguments.train, run)
        methods.append(InContext(load(run / LAST), name))
    data, tasks = held_out(arguments, resolution=SIZE)
    protocol = protocol_of(arguments)
    evaluation = evaluate(data, methods, protocol, arguments.out, tasks=tasks, progress=True)
    baseline = Condition(UNCHANGED, protocol.support_sizes[-1], None)
    report(arguments, evaluation, data, methods, protocol, baseline=baseline)


if __name__ == "__main__":
    run(main)
