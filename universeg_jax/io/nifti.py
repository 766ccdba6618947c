"""NIfTI files, read and written with the geometry of their headers."""

import gzip
import math
from pathlib import Path

import nibabel
import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.io.volumes import Volume, check_bytes, check_header
from universeg_jax.util.files import check_regular

ENDINGS = (".nii", ".nii.gz")
MILLIMETRES = {"meter": 1000.0, "micron": 0.001}  # units that a header can name, other than mm


def read_nifti(file: Path) -> Volume:
    """Read one NIfTI file, its scale and offset applied, its lengths in millimetres.

    Raises:
        InputError: a missing, foreign, damaged or oversized file, or voxels that are not single numbers.
    """
    check_regular(file)
    try:
        image = nibabel.load(file)
        shape = check_header(str(file), image.shape)
        if image.get_data_dtype().kind not in "iuf":
            raise InputError(f"{file}: holds {image.get_data_dtype()} voxels; one number per voxel is needed")
        check_bytes(file, shape, image.get_data_dtype().itemsize)
        if file.name.lower().endswith(".gz"):
            _check_gzip(file, int(image.dataobj.offset) + math.prod(image.shape) * image.get_data_dtype().itemsize)
        voxels = _scaled(image).reshape(shape)
        affine = _affine(image)
    except InputError:
        raise
    except Exception as error:  # damaged files make gzip, zlib and nibabel raise almost anything
        raise InputError(f"{file}: cannot be read as NIfTI; the file is damaged or cut short ({error})") from None
    return Volume(str(file), voxels, affine)


def read_place(file: Path) -> Volume:
    """Read shape and affine of one NIfTI file; the voxels are zeros without memory.

    Raises:
        InputError: a missing, foreign, damaged or oversized file.
    """
    check_regular(file)
    try:
        image = nibabel.load(file)
        shape, affine = check_header(str(file), image.shape), _affine(image)
    except InputError:
        raise
    except Exception as error:  # as above
        raise InputError(f"{file}: cannot be read as NIfTI; the file is damaged or cut short ({error})") from None
    return Volume(str(file), np.broadcast_to(np.uint8(0), shape), affine)


def _affine(image) -> np.ndarray:
    """Affine of a header, in millimetres."""
    unit = image.header.get_xyzt_units()[0] if isinstance(image, nibabel.Nifti1Image) else "mm"
    affine = np.array(image.affine, float)
    affine[:3] *= MILLIMETRES.get(unit, 1.0)
    return affine


def _check_gzip(file: Path, size: int) -> None:
    """Compare the checksum of a compressed file, because nibabel stops before it.

    Args:
        size: bytes that the header announces.

    Raises:
        OSError, ValueError: damaged content, or far more bytes than announced.
    """
    with gzip.open(file) as stream:
        while stream.read(2**20):
            if stream.tell() > size + 2**24:
                raise ValueError(f"it holds more than the {size:,} bytes that its header announces")


def write_nifti(file: Path, voxels: np.ndarray, like: Volume) -> None:
    """Write voxels (X,Y,Z) with the geometry of a volume. A volume from a NIfTI file keeps its header."""
    if like.name.endswith(ENDINGS):
        header = nibabel.load(like.name).header.copy()
        image = type(nibabel.load(like.name))(voxels, None, header)
    else:
        image = nibabel.Nifti1Image(voxels, like.affine)
        image.header.set_xyzt_units("mm")
    image.set_data_dtype(voxels.dtype)
    image.header.set_slope_inter(1, 0)
    image.header["cal_max"] = image.header["cal_min"] = 0  # the display range of the scan is not one of the mask
    nibabel.save(image, file)


def _scaled(image: nibabel.Nifti1Image) -> np.ndarray:
    """Voxels as stored, or as float32 where the header scales them."""
    slope, inter = image.dataobj.slope, image.dataobj.inter
    if (slope, inter) == (1.0, 0.0):
        return np.asanyarray(image.dataobj)
    if not np.isfinite([slope, inter]).all():
        raise InputError(f"{image.get_filename()}: its header scales voxels by {slope} and {inter}; repair the header")
    return np.asarray(image.dataobj, np.float32)
