"""The short run of protosam_short.py with LoRA adapters instead of all parameters.

Claim: the row "LoRA" of experiments/results/few_shot/README.md.

    python -m experiments.train experiments/configs/protosam_short_lora.py --corpus SCANS --out RUN \
        --set leave_out "('1', '2', '3', '5')"

Adapters start at zero, and plain gradient descent moves them too slowly for so few steps; AdamW does not.
"""

from dataclasses import replace

from experiments.configs.protosam_short import config as short
from universeg_jax.train.encoder.config import AdamWConfig

config = replace(
    short,
    stages=(replace(short.stages[0], learning_rate=5e-4, warmup_steps=5),),
    optimizer=AdamWConfig(),
    lora_rank=4,
)
