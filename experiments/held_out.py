"""Name the datasets that this project never trains on, because it measures on them."""

HELD_OUT = (
    # Datasets that the UniverSeg paper keeps unseen (table 1), and HC18, on which this library is demonstrated.
    *("*acdc*", "*dental*", "scd*", "*_scd*", "*stare*", "*spineweb*", "*wbc*", "*hc18*"),
    # Further datasets that the shipped weights are measured on (experiments/small_sets.py), by the names used there.
    *("ms_btcv", "ms_camus", "ms_chaos", "ms_hipxray", "ms_oasis", "ms_octa500", "ms_paxray"),
    *("sa_ct_liver", "sa_leukocyte"),
)
"""Names of datasets; * stands for anything. The configurations in experiments/configs/ pass them as `held_out`."""
