"""open_v1: a longer training with Muon, starting from the first run's weights.

Claim: 7200 more steps, on all images of the training tasks and with Muon for the kernels, raise the mean Dice on
held-out tasks a little (experiments/results/open_v1/).

    python -m experiments.train experiments/configs/first_run.py --corpus CORPUS --out run0
    python -m experiments.train experiments/configs/open_v1.py --corpus CORPUS --out RUN

Expected time: an hour and ten minutes on two quiet CPU cores, after the first run.
"""

from experiments.configs.first_run import POLICY
from experiments.held_out import HELD_OUT
from universeg_jax.train.config import Stage, TrainConfig

config = TrainConfig(
    held_out=HELD_OUT,
    weights="run0/last",
    stages=(
        Stage(
            size=64,
            steps=6000,
            batch_size=4,
            support_size=8,
            learning_rate=1e-3,
            final_learning_rate=1e-4,
            warmup_steps=100,
        ),
        Stage(size=128, steps=1200, batch_size=2, support_size=12, learning_rate=5e-4, warmup_steps=50),
    ),
    muon=True,
    policy=POLICY,
    synthetic=0.2,
    validation=0.04,
    split=None,
    validate_every=1000,
    save_every=200,
    picture_every=2000,
)
