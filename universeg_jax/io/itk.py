"""NRRD, MetaImage and other files that SimpleITK reads."""

import re
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.io.volumes import Volume, check_bytes, check_header
from universeg_jax.util.files import check_regular

ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")
DETACHED = (".nhdr", ".mhd")  # headers whose voxels lie in another file
_LARGEST_HEADER = 2**20
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK and DICOM count to the left and back


def read_itk(file: Path) -> Volume:
    """Read one file; several numbers per voxel become channels.

    Raises:
        InputError: a missing, foreign, damaged or oversized file.
    """
    import SimpleITK

    check_regular(file)
    if file.suffix in DETACHED:
        _check_detached(file)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        SimpleITK.ProcessObject.GlobalWarningDisplayOff()
        reader.ReadImageInformation()
        size, channels = tuple(reader.GetSize()), reader.GetNumberOfComponents()
        shape = (*size, channels) if channels > 1 else size
        kept = check_header(str(file), shape)
        if file.suffix not in DETACHED:
            check_bytes(file, kept, 1)
        image = reader.Execute()
    except InputError:
        raise
    except Exception as error:  # SimpleITK raises RuntimeError with a long C++ trace
        reason = str(error).strip().splitlines()[-1][-200:]
        raise InputError(f"{file}: cannot be read; the file is damaged or cut short ({reason})") from None
    if image.GetPixelID() in (SimpleITK.sitkComplexFloat32, SimpleITK.sitkComplexFloat64):
        raise InputError(f"{file}: holds complex voxels; one number per voxel is needed")
    voxels = SimpleITK.GetArrayFromImage(image)  # (...,Z,Y,X), channels last
    spatial = tuple(range(len(size)))[::-1]
    voxels = voxels.transpose(*spatial, *range(len(size), voxels.ndim)).reshape(kept)
    return Volume(str(file), voxels, _affine(image))


def _check_detached(file: Path) -> None:
    """Check that the files that a header names are regular files: opening a pipe may never end.

    Raises:
        InputError: one is a pipe, a device or the like.
    """
    with open(file, "rb") as stream:
        lines = stream.read(_LARGEST_HEADER).decode(errors="replace").splitlines()
    for line in lines:
        place = file.parent / re.split(r"[:=]", line, maxsplit=1)[-1].strip()
        try:
            other = place.exists() and not place.is_dir()
        except (OSError, ValueError):  # a line that cannot be the name of a file
            continue
        if other:
            check_regular(place)


def write_itk(file: Path, voxels: np.ndarray, like: Volume) -> None:
    """Write voxels (X,Y,Z), compressed, with the place of a volume.

    Raises:
        InputError: a sheared volume, which these formats cannot hold.
    """
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    if like.name.lower().endswith(ENDINGS):
        header = SimpleITK.ImageFileReader()
        header.SetFileName(like.name)
        header.ReadImageInformation()
        spacing, origin, direction = header.GetSpacing(), header.GetOrigin(), header.GetDirection()
        if len(spacing) == 4:
            spacing, origin = spacing[:3], origin[:3]
            direction = np.reshape(direction, (4, 4))[:3, :3].ravel().tolist()
    else:
        affine = LPS_TO_RAS @ like.affine
        spacing = like.spacing
        origin, direction = affine[:3, 3].tolist(), (affine[:3, :3] / spacing).ravel().tolist()
    try:
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        image.SetDirection(direction)
    except RuntimeError:
        raise InputError(
            f"{file}: {like.name} is sheared, which {file.suffix} files cannot hold; write .nii.gz"
        ) from None
    SimpleITK.WriteImage(image, str(file), useCompression=True)


def _affine(image) -> np.ndarray:
    dimensions = image.GetDimension()
    directions = np.reshape(image.GetDirection(), (dimensions, dimensions))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = directions * image.GetSpacing()[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return LPS_TO_RAS @ affine


def segment_names(file: Path) -> dict[int, str]:
    """Read the names of classes that 3D Slicer keeps in a .seg.nrrd; {} of other files."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(file))
    reader.ReadImageInformation()
    about = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    numbers = [key.removesuffix("_LabelValue") for key in about if re.fullmatch(r"Segment\d+_LabelValue", key)]
    return {int(about[f"{key}_LabelValue"]): about[f"{key}_Name"] for key in numbers if f"{key}_Name" in about}
