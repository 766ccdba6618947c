"""Memory that labelled files take, from their headers alone: a small file can hold a large image."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path

from universeg_jax.io import itk, nifti, pictures

BYTES_PER_VALUE = 20
"""Memory for each value of an image or a mask: it becomes slices of three sizes in float32."""

EXPANSION = 8
"""Values for each byte of a file whose header is not read, such as a compressed DICOM slice."""


def memory_to_prepare(path: Path) -> int:
    """Estimate the bytes that it takes to read a file, or a folder of slices, and to cut it into slices.

    A file that cannot be read counts nothing: the reader reports it later.
    """
    if path.is_dir():
        return sum(memory_to_prepare(file) for file in path.iterdir() if file.is_file())
    name = path.name.lower()
    try:
        if not path.is_file():  # to open a pipe can take for ever
            return 0
        if name.endswith(".npz"):
            return _of_arrays(path)
        for endings, count in _VALUES.items():
            if name.endswith(endings):
                return BYTES_PER_VALUE * count(path)
        return BYTES_PER_VALUE * EXPANSION * path.stat().st_size
    except Exception:  # damaged headers make the libraries raise almost anything
        return 0


def _of_nifti(path: Path) -> int:
    import nibabel

    return math.prod(nibabel.load(path).shape)


def _of_itk(path: Path) -> int:
    import SimpleITK

    SimpleITK.ProcessObject.GlobalWarningDisplayOff()
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return math.prod(reader.GetSize()) * reader.GetNumberOfComponents()


def _of_picture(path: Path) -> int:
    from PIL import Image

    with warnings.catch_warnings(), Image.open(path, formats=pictures.FORMATS) as picture:
        warnings.simplefilter("ignore")
        return math.prod(picture.size) * len(picture.getbands()) * getattr(picture, "n_frames", 1)


def _of_arrays(path: Path) -> int:
    """Bytes of all arrays: all are held in memory, and cut one by one."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


_VALUES: dict[tuple[str, ...], Callable[[Path], int]] = {
    nifti.ENDINGS: _of_nifti,
    itk.ENDINGS: _of_itk,
    pictures.EXTENSIONS: _of_picture,
}
