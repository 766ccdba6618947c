"""ProtoSAM's image encoder in setting 1, with LoRA adapters instead of all parameters.

Claim: none yet. A whole run takes hours; experiments/results/few_shot/ says what was measured.

    python -m experiments.train experiments/configs/protosam_lora.py --corpus SCANS --out RUN

RUN/best holds the adapters alone; loading merges them into LiteMedSAM.

Expected time: 5 seconds a step on two CPU cores (experiments/results/encoder_training.json), so six hours.
"""

from dataclasses import replace

from experiments.configs.protosam_setting1 import config as setting1

config = replace(setting1, lora_rank=4)
