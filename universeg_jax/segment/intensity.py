"""Intensities of a volume: the window that goes to [0,1], one for all of its slices."""

import re
import warnings

import numpy as np

from universeg_jax.errors import SegmentationWarning

# Both as in MegaMedical's code: github.com/eri820503/MegaMedical at 00249cb, `clip_volume` of
# megamedical/utils/proc_utils.py, and `clip_args` in megamedical/datasets/*/process_assets/process.py. AMOS, LITS,
# LUNA, VerSe, WORD and the CT tasks of the Decathlon have this window there, but for its liver, (-250, 250).
CT_WINDOW = (-500.0, 1000.0)  # Hounsfield units
PERCENTILES = (0.5, 99.5)  # of the voxels that are not background
BACKGROUND = 0.05  # part of the voxels that one value must hold to be the background of a scan with negative values
SAMPLE = 2**25  # voxels beyond which percentiles are taken of every second one, or fewer
_CT = re.compile(r"(^|[^a-z])cta?([^a-z]|$)")  # "CT", "CTA", "PVP-CT", "ct_contrast"


def is_ct(modality: str) -> bool:
    """Tell whether a modality has Hounsfield units."""
    return bool(_CT.search(modality.lower()))


def volume_window(voxels: np.ndarray, modality: str, name: str) -> tuple[float, float]:
    """Choose the intensities that become 0 and 1.

    A CT has a fixed window in Hounsfield units. Other volumes have percentiles of the voxels that are not background:
    not 0 or below; or, where values are negative as after z-scoring, not the most frequent value.

    Args:
        voxels: (X,Y,Z).
        modality: "CT", "MR", ...; "" if unknown.
        name: what messages call the volume.

    Returns:
        Low and high, within the range of the voxels; equal for a volume of one intensity.

    Warns:
        SegmentationWarning: a CT without negative values, so that its values may not be Hounsfield units.
    """
    least, most = float(voxels.min()), float(voxels.max())
    if is_ct(modality):
        if least >= 0:
            warnings.warn(
                f"{name}: is a CT whose lowest value is {least:g}, but air has -1000 Hounsfield units; if the values "
                "are stored with 1024 added, subtract it, or choose --window",
                SegmentationWarning,
                stacklevel=3,
            )
        low, high = CT_WINDOW
    else:
        values = voxels.ravel()[:: max(1, voxels.size // SAMPLE)]
        shown = values[values > 0] if least >= 0 else values[values != _background(values)]
        low, high = np.percentile(shown, PERCENTILES) if shown.size else (least, most)
    low, high = np.clip((low, high), least, most)
    return float(low), float(high)


def _background(values: np.ndarray) -> float:
    """The most frequent value; NaN, which equals no value, if none is frequent."""
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()]) if counts.max() >= BACKGROUND * values.size else np.nan
