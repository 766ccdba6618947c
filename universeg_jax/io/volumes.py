"""Volumes: voxels with their place in the patient, in memory. See `volume_files` for the files."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.io.mask_values import class_values

AXES = ("sagittal", "coronal", "axial")
"""Names of the slices across x, y and z of a volume whose axes run right, front and head."""

MAX_VOXELS = 2**30  # a whole-body CT has about 5e8; more is a damaged or hostile header
WHOLE = 1e-3  # labels saved through a slope are off by rounding
REMEDY = "resample the mask to the image, or copy the image's header if the voxels do match"
OFF = 0.1  # part of a voxel that headers may disagree by: they are written with few digits


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and their place.

    Attributes:
        name: the file or folder, for messages.
        voxels: (X,Y,Z), or (X,Y,Z,C) with channels.
        affine: (4,4), from voxel indices to millimetres to the right, front and head.
        modality: "CT", "MR", ...; "" if the file does not say.
    """

    name: str
    voxels: np.ndarray
    affine: np.ndarray
    modality: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along the three axes."""
        return self.voxels.shape[:3]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres from voxel to voxel along the three axes.

        Raises:
            InputError: an affine that gives voxels no size.
        """
        from nibabel.affines import voxel_sizes

        sizes = voxel_sizes(self.affine)
        if not (np.isfinite(self.affine).all() and sizes.min() > 0 and abs(np.linalg.det(self.affine[:3, :3])) > 0):
            raise InputError(f"{self.name}: its header gives voxels the sizes {sizes.tolist()} mm; repair the header")
        return tuple(sizes.tolist())

    @property
    def orientation(self) -> np.ndarray:
        """(3,2) axis and direction of each voxel axis, as nibabel's `io_orientation` gives them."""
        _ = self.spacing  # refuses affines that have no orientation
        from nibabel.orientations import io_orientation

        return io_orientation(self.affine)

    def turned(self, orientation: np.ndarray) -> "Volume":
        """Permute and flip axes; the voxels keep their places."""
        from nibabel.orientations import apply_orientation, inv_ornt_aff

        voxels = apply_orientation(self.voxels, orientation)
        turn = inv_ornt_aff(orientation, self.shape)
        return replace(self, voxels=voxels, affine=self.affine @ turn)

    def upright(self) -> "Volume":
        """Turn the axes so that they run right, front and head.

        Raises:
            InputError: an affine that gives voxels no size.
        """
        return self.turned(self.orientation)

    def channel(self, index: int) -> "Volume":
        """Take one channel; of a volume without channels, channel 0 is the volume itself.

        Raises:
            InputError: a channel that the volume lacks.
        """
        channels = self.voxels.shape[3] if self.voxels.ndim == 4 else 1
        if not 0 <= index < channels:
            raise InputError(
                f"{self.name}: has {channels} channel{'s' if channels > 1 else ''}, numbered from 0; there is no "
                f"channel {index}; if other files have it, save that channel alone to files"
            )
        return self if self.voxels.ndim == 3 else replace(self, voxels=self.voxels[..., index])


def check_header(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse a shape that no volume has, before any voxel is read.

    Returns:
        The shape without axes of length 1 behind the third: (X,Y,Z) or (X,Y,Z,C).
    """
    kept = (*shape[:3], *(length for length in shape[3:] if length != 1))
    if len(kept) not in (3, 4) or min(kept) < 1:
        raise InputError(f"{name}: has the shape {shape}; a volume has 3 dimensions, or 4 with channels last")
    if np.prod(kept, dtype=float) > MAX_VOXELS:
        raise InputError(f"{name}: has {'x'.join(map(str, kept))} voxels; at most {MAX_VOXELS:,} are read")
    return kept


def check_bytes(file: Path, voxels: tuple[int, ...], itemsize: int) -> None:
    """Refuse a header that promises more than its file can hold, before memory is taken for it.

    Raises:
        InputError: more bytes than the file unpacks to; deflate shrinks data at most 1032 times.
    """
    size = file.stat().st_size
    if np.prod(voxels, dtype=float) * itemsize > 1032.0 * size:
        raise InputError(
            f"{file}: cannot be read; its header promises {'x'.join(map(str, voxels))} voxels, but the file has only "
            f"{size} bytes; it is damaged or cut short"
        )


def check_finite_voxels(volume: Volume) -> None:
    """Refuse NaN and infinity."""
    if volume.voxels.dtype.kind != "f":
        return
    bad = sum(np.count_nonzero(~np.isfinite(plane)) for plane in volume.voxels)  # by plane: no mask of a whole CT
    if bad:
        raise InputError(f"{volume.name}: {bad} of {volume.voxels.size} voxels are NaN or infinite: replace them")


def class_labels(mask: Volume) -> Volume:
    """Read the voxels of a mask as classes: whole numbers from 0, as the smallest integers that hold them.

    Raises:
        InputError: channels, values that are not whole, negative or very large, or values that are no classes.

    Warns:
        SegmentationWarning: a blurred mask that was cut into two values (see `mask_values`).
    """
    voxels = mask.voxels
    if voxels.ndim != 3:
        raise InputError(f"{mask.name}: has the shape {voxels.shape}; a mask has 3 dimensions and one class per voxel")
    if voxels.dtype.kind == "f":
        check_finite_voxels(mask)
        whole = np.rint(voxels)
        far = np.abs(voxels - whole) > WHOLE
        if far.any():
            raise InputError(f"{mask.name}: mask values must be whole numbers; it holds {voxels[far][0]:.6g}")
        voxels = whole
    low, high = (voxels.min(), voxels.max()) if voxels.size else (0, 0)
    if low < 0 or high > 65535:
        raise InputError(f"{mask.name}: mask values run from {low:g} to {high:g}; classes lie between 0 and 65535")
    labels: np.ndarray = voxels.astype(np.uint8 if high < 256 else np.uint16, copy=False)
    if len(values_of(labels)) > 2:
        labels = class_values(labels, mask.name)
    return replace(mask, voxels=labels)


def values_of(labels: np.ndarray) -> list[int]:
    """Return the values in an array of unsigned integers, ascending; faster than `np.unique` for few values."""
    if labels.dtype.kind != "u" or labels.dtype.itemsize > 2:
        return np.unique(labels).tolist()
    counts: np.ndarray = np.zeros(1 << 8 * labels.dtype.itemsize, np.int64)
    for plane in labels if labels.ndim > 1 else labels[None]:
        counts += np.bincount(plane.ravel(), minlength=len(counts))
    return np.flatnonzero(counts).tolist()


def place_on(mask: Volume, image: Volume, *, cropped: bool = False) -> Volume:
    """Turn a mask onto the voxels of its image, axis for axis.

    The two headers decide the turn together. Alone, each could be turned differently, because rounding can change the
    nearest axis of an oblique volume.

    Args:
        mask: its class values.
        image: the volume that it is of.
        cropped: fill up a mask that covers a box of the image's voxels, with the background.

    Raises:
        InputError: a mask whose voxels do not lie on the voxels of the image; it names the axis and the distance.
    """
    spacing = np.array(image.spacing)
    _ = mask.spacing
    move = np.linalg.inv(image.affine) @ mask.affine  # from voxels of the mask to voxels of the image
    nearest = np.abs(move[:3, :3]).argmax(axis=0)
    if sorted(nearest.tolist()) != [0, 1, 2]:
        raise InputError(
            f"{mask.name}: its axes run in other directions than those of the image {image.name}; {REMEDY}"
        )
    directions = np.sign(move[nearest, range(3)])
    turned = mask.turned(np.stack([nearest, directions], axis=1))
    if cropped:
        turned = _filled(turned, image)
    if turned.shape != image.shape:
        axes = [axis for axis in range(3) if turned.shape[axis] != image.shape[axis]]
        unlike = " and ".join(f"{turned.shape[a]} instead of {image.shape[a]} voxels along axis {a}" for a in axes)
        raise InputError(
            f"{mask.name}: is {turned.shape}, but the image {image.name} is {image.shape}: {unlike}; {REMEDY}"
        )
    corners = np.array(np.meshgrid(*((0, n - 1) for n in image.shape), [1], indexing="ij")).reshape(4, -1)
    apart = (np.linalg.inv(image.affine) @ turned.affine @ corners - corners)[:3]  # in voxels of the image
    distance = np.abs((image.affine - turned.affine)[:3] @ corners).max()
    if distance > OFF * spacing.min():
        axis = int((np.abs(apart).max(axis=1) * spacing).argmax())
        mine, own = turned.spacing[axis], spacing[axis]
        why = f"most along axis {axis} ({np.abs(apart[axis]).max():.3g} voxels"
        why += f"; it has {mine:.5g} mm there, the image {own:.5g} mm)" if abs(mine - own) > 1e-3 * own else ")"
        raise InputError(
            f"{mask.name}: lies {distance:.3g} mm from the image {image.name} by their headers, {why}; {REMEDY}"
        )
    return replace(turned, affine=image.affine)


def _filled(mask: Volume, image: Volume) -> Volume:
    """Fill up a mask whose corner is a voxel of the image, and that lies inside; other masks are returned unchanged."""
    start = np.linalg.inv(image.affine) @ mask.affine[:, 3]
    first = np.rint(start[:3]).astype(int)
    inside = (first >= 0).all() and (first + mask.shape <= image.shape).all()
    if not inside or np.abs(start[:3] - first).max() > OFF:
        return mask
    voxels = np.zeros(image.shape, mask.voxels.dtype)
    voxels[tuple(slice(at, at + length) for at, length in zip(first, mask.shape, strict=True))] = mask.voxels
    affine = np.array(mask.affine)
    affine[:3, 3] -= affine[:3, :3] @ first
    return replace(mask, voxels=voxels, affine=affine)
