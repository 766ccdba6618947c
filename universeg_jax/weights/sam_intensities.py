"""Which intensities a file of a SAM is for: MedSAM has the names and shapes of SAM's ViT-B, but other images."""

import os
from collections.abc import Mapping

import numpy as np

from universeg_jax.errors import WeightsError
from universeg_jax.models.protosam.sam import SAMConfig
from universeg_jax.weights.alike import release_of, releases_like
from universeg_jax.weights.sam_config import infer_config


def is_medsam(file: str | os.PathLike, state_dict: Mapping[str, np.ndarray], *, medsam: bool | None = None) -> bool:
    """Whether a file of a SAM takes images in [0,1] as they are, as MedSAM does, or less SAM's mean.

    Where shapes leave that open, the file is compared with the released ones: a wrong guess would give worse masks and
    no error.

    Args:
        state_dict: what is in the file.
        medsam: what it is said to be; None where nothing is said.

    Raises:
        WeightsError: it is a released file of the other kind; or neither SAM's nor MedSAM's and nothing is said; or no
            SAM.
    """
    alike = releases_like(infer_config(state_dict))
    doubtful = len({release.config.mean for release in alike}) > 1
    if medsam is None and not doubtful:
        return False
    known = release_of(file) if alike else None
    if known is None and medsam is None:
        names = " or ".join(release.name for release in alike)
        raise WeightsError(
            f"this is the network of {names}, but the released file of neither, and nothing in it shows whether images "
            f"are in [0,1] (MedSAM) or less a mean (SAM): python -m convert sam {file} --out DIR with --medsam or "
            "--no-medsam"
        )
    if known is None:
        return medsam
    found = known.config.mean == SAMConfig.medsam().mean
    if medsam not in (None, found):
        raise WeightsError(f"this is the released file of {known.name}: leave out --{'' if medsam else 'no-'}medsam")
    return found
