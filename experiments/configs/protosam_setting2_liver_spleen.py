"""ProtoSAM's image encoder in setting 2, with liver and spleen as test organs: their slices are left out of training.

Claim: none yet. A whole run takes hours; experiments/results/few_shot/ says what was measured.

    python -m experiments.train experiments/configs/protosam_setting2_liver_spleen.py --corpus SCANS --out RUN

The labels of the scans only tell which slices show a test organ. Names of organs come from SCANS/dataset.json.

Expected time: 13 seconds a step on two CPU cores (experiments/results/encoder_training.json), so fifteen hours.
"""

from dataclasses import replace

from experiments.configs.protosam_setting1 import config as setting1

config = replace(setting1, exclude=("liver", "spleen"))
