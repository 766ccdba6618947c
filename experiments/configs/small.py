"""small: a short run to look at, on any corpus with two labels or more.

Claim: in a minute or two on the CPU of a laptop, a small network learns to use its examples: the Dice of the training
episodes rises well above its first values.

    python -m experiments.train experiments/configs/small.py --corpus CORPUS --out RUN

Expected time: under two minutes on two cores. With one label only, add `--set validation 0`.
"""

from experiments.held_out import HELD_OUT
from universeg_jax.data.augment import Policy, Variation
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.train.config import Stage, TrainConfig

config = TrainConfig(
    held_out=HELD_OUT,
    stages=(Stage(size=64, steps=300, batch_size=4, support_size=4, learning_rate=3e-3, warmup_steps=20),),
    model=UniverSegConfig(encoder_features=((16, 16),) * 3),
    policy=Policy(task=Variation(brightness_contrast=0.5), flip_horizontally=0.5, flip_vertically=0.5),
    ema=0.98,
    validate_every=100,
    save_every=50,
    picture_every=100,
)
