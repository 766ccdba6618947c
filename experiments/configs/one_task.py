"""One dataset alone, as it is: whether the network can learn a task at all.

Claim: what open-v1 does badly on a dataset it was trained on, the same network learns in two hundred steps when nothing
else is asked of it (experiments/results/open_v1/). For diagnosis: such weights know one task.

    python -m experiments.train experiments/configs/one_task.py --corpus CORPUS --out RUN

CORPUS holds one dataset; its path in a larger corpus will not do, but a folder with a link to it will.

Expected time: two minutes on two quiet CPU cores.
"""

from universeg_jax.data.augment import Policy
from universeg_jax.train.config import Stage, TrainConfig

config = TrainConfig(
    weights="open-v1",
    stages=(Stage(size=64, steps=200, batch_size=4, support_size=8, learning_rate=1e-3, warmup_steps=20),),
    muon=True,
    policy=Policy.none(),
    validation=0.0,
    save_every=200,
)
