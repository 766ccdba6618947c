"""What NIfTI and DICOM volumes share: voxels with their place in the patient."""

from dataclasses import dataclass

import nibabel
import numpy as np

from universeg_jax.data.readers.source import AXES, Scan
from universeg_jax.errors import InputError

MAX_VOXELS = 2**30  # a whole-body CT has about 5e8; more is a damaged or hostile header


@dataclass(frozen=True)
class Volume:
    """Voxels (X,Y,Z) or (X,Y,Z,C) and the affine from indices to millimetres (right, front, head).

    Attributes:
        name: the file or folder, for messages.
    """

    name: str
    voxels: np.ndarray
    affine: np.ndarray

    def upright(self) -> "Volume":
        """The same voxels, with axes permuted and flipped so that they run right, front and head.

        Raises:
            InputError: an affine that gives voxels no size.
        """
        sizes = nibabel.affines.voxel_sizes(self.affine)
        if not (np.isfinite(sizes).all() and sizes.min() > 0):
            raise InputError(f"{self.name}: its header gives voxels the sizes {sizes.tolist()} mm; repair the header")
        orientation = nibabel.orientations.io_orientation(self.affine)
        voxels = nibabel.orientations.apply_orientation(self.voxels, orientation)
        turn = nibabel.orientations.inv_ornt_aff(orientation, self.voxels.shape)
        return Volume(self.name, voxels, self.affine @ turn)


def check_header(name: str, shape: tuple[int, ...]) -> None:
    """Refuse what is no volume, and what is too large to be one, before any voxel is read."""
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise InputError(f"{name}: has the shape {shape}; a volume has 3 dimensions, or 4 with channels last")
    if np.prod(shape, dtype=float) > MAX_VOXELS:
        raise InputError(f"{name}: has {'x'.join(map(str, shape))} voxels; at most {MAX_VOXELS:,} are read")


def volume_scan(
    image: Volume, mask: Volume, class_names: dict[int, str], modality: str, *, axes: tuple[str, ...] = AXES
) -> Scan:
    """One scan of one channel, upright.

    Raises:
        InputError: NaN or infinity, masks that are not whole numbers or do not lie on the image voxel by voxel.
    """
    image, mask = image.upright(), mask.upright()
    bad = np.count_nonzero(~np.isfinite(image.voxels))
    if bad:
        raise InputError(f"{image.name}: {bad} of {image.voxels.size} voxels are NaN or infinite: replace them")
    if image.voxels.shape != mask.voxels.shape:
        raise InputError(
            f"{mask.name}: is {mask.voxels.shape}, but the image {image.name} is {image.voxels.shape}; "
            "a mask must have the voxels of its image"
        )
    # A tenth of a voxel: headers are written with few digits.
    tolerance = 0.1 * nibabel.affines.voxel_sizes(image.affine).min()
    corners = np.array([[0, 0, 0, 1], [*(n - 1 for n in image.voxels.shape), 1]])
    distance = np.abs(corners @ (image.affine - mask.affine).T).max()
    if distance > tolerance:
        raise InputError(
            f"{mask.name}: lies {distance:.3g} mm from the image {image.name} by their headers; "
            "resample the mask to the image, or copy the image's header if the voxels do match"
        )
    labels = np.round(mask.voxels).astype(np.int32)
    if not np.array_equal(labels, mask.voxels):
        raise InputError(f"{mask.name}: mask values must be whole numbers")
    spacing = tuple(nibabel.affines.voxel_sizes(image.affine).tolist())
    return Scan(image.voxels.astype(np.float32), labels, class_names, modality, spacing, axes)
