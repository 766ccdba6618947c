"""one_task: train on one dataset alone, to see whether the network can learn its task at all.

Claim: a dataset that open-v1 was trained on and does badly, the same network learns in two hundred steps if it is alone
(experiments/results/open_v1/). This is a diagnosis: such weights know one task.

    python -m experiments.train experiments/configs/one_task.py --corpus CORPUS --out RUN

CORPUS holds one dataset. For a dataset of a larger corpus, make a folder with a link to it. docs/weights.md says where
open-v1 is; pass its folder with `--set weights FOLDER`.

Expected time: two minutes on two quiet CPU cores.
"""

from experiments.held_out import HELD_OUT
from universeg_jax.data.augment import Policy
from universeg_jax.train.config import Stage, TrainConfig

config = TrainConfig(
    held_out=HELD_OUT,
    weights="open-v1",
    stages=(Stage(size=64, steps=200, batch_size=4, support_size=8, learning_rate=1e-3, warmup_steps=20),),
    muon=True,
    policy=Policy.none(),
    validation=0.0,
    save_every=200,
)
