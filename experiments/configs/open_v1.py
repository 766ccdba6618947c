"""The weights open-v1: a longer training, on from the first run's weights, with Muon.

Claim: twice the steps of the first run, all images of the training tasks, kernels updated by Muon, and half of the
time at 128 pixels give a higher mean Dice on held-out tasks (universeg_jax/assets/weights/open-v1/MODEL_CARD.md).

    python -m experiments.train experiments/configs/open_v1.py --corpus CORPUS --out RUN

Expected time: an hour and a quarter on two quiet CPU cores, beside the half hour of the first run.
"""

from experiments.configs.first_run import POLICY
from universeg_jax.train.config import Stage, TrainConfig

config = TrainConfig(
    weights="experiments/results/first_run/weights",
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
        Stage(size=128, steps=1600, batch_size=2, support_size=12, learning_rate=5e-4, warmup_steps=50),
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
