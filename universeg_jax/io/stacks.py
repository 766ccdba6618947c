"""Multi-page TIFF files: the stacks of microscopes, and volumes saved page by page."""

from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.io.volumes import Volume, check_header
from universeg_jax.util.files import check_regular

ENDINGS = (".tif", ".tiff")
UNITS = {"mm": 1.0, "um": 1e-3, "µm": 1e-3, "\\u00B5m": 1e-3, "micron": 1e-3, "microns": 1e-3, "nm": 1e-6, "cm": 10.0}


def is_stack(file: Path) -> bool:
    """Tell whether a file is a TIFF of several pages."""
    import tifffile

    if not file.name.lower().endswith(ENDINGS):
        return False
    try:
        check_regular(file)
        with tifffile.TiffFile(file) as stack:
            return len(stack.pages) > 1 or len(_planes(stack)) > 1
    except Exception:  # no TIFF: the reader of pictures says what is wrong
        return False


def read_stack(file: Path) -> Volume:
    """Read a stack; its pages are the slices, columns run to the left and rows to the back as radiologists look.

    The distances come from the headers that ImageJ writes, in millimetres; a voxel of unknown size measures 1 mm.

    Raises:
        InputError: a foreign or damaged file, or a stack with more dimensions than pages and channels.
    """
    import tifffile

    check_regular(file)
    try:
        with tifffile.TiffFile(file) as stack:
            series = stack.series[0]
            axes, shape = series.axes, series.shape
            kept = [(axis, length) for axis, length in zip(axes, shape, strict=True) if length > 1 or axis in "YX"]
            names = "".join(axis for axis, _ in kept)
            channel = next((axis for axis in "CS" if axis in names), "")
            pages = [axis for axis in names if axis not in "YXCS"]
            if "Y" not in names or "X" not in names or len(pages) != 1 or len(names) > 3 + len(channel):
                raise InputError(f"{file}: has the axes {axes} of {shape}; a stack has pages, rows and columns")
            ordered = (names.index("X"), names.index("Y"), names.index(pages[0]), *map(names.index, channel))
            lengths = tuple(kept[i][1] for i in ordered)
            check_header(str(file), lengths)
            voxels = series.asarray().reshape([length for _, length in kept]).transpose(ordered)
            spacing = _spacing(stack)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file") from None
    except Exception as error:  # damaged files make tifffile raise almost anything
        raise InputError(f"{file}: cannot be read as TIFF; the file is damaged or cut short ({error})") from None
    if voxels.dtype.kind not in "biuf":
        raise InputError(f"{file}: holds {voxels.dtype} voxels; one number per voxel is needed")
    voxels = voxels.astype(np.uint8) if voxels.dtype.kind == "b" else voxels
    return Volume(str(file), voxels, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]))


def write_stack(file: Path, voxels: np.ndarray, like: Volume) -> None:
    """Write voxels (X,Y,Z) as pages, with the distances in ImageJ's header where they are known."""
    import tifffile

    x, y, z = like.spacing
    known = {} if (x, y, z) == (1, 1, 1) else {"resolution": (1 / x, 1 / y), "metadata": {"spacing": z, "unit": "mm"}}
    pages = np.ascontiguousarray(voxels.transpose(2, 1, 0))
    tifffile.imwrite(file, pages, imagej=True, compression="zlib", **({"metadata": {"axes": "ZYX"}} | _axes(known)))


def _axes(known: dict) -> dict:
    return known | {"metadata": {"axes": "ZYX"} | known.get("metadata", {})}


def _planes(stack) -> list:
    series = stack.series[0]
    pages = int(np.prod([n for axis, n in zip(series.axes, series.shape, strict=True) if axis not in "YXS"]))
    return [None] * pages


def _spacing(stack) -> tuple[float, float, float]:
    """Millimetres along x, y and z."""
    about = stack.imagej_metadata or {}
    unit = UNITS.get(str(about.get("unit", "")).lower())
    if unit is None:
        return 1.0, 1.0, 1.0
    tags = stack.pages[0].tags
    across = []
    for name in ("XResolution", "YResolution"):
        value = tags[name].value if name in tags else (1, 1)
        across.append(unit * value[1] / value[0] if value[0] else unit)
    return across[0], across[1], unit * float(about.get("spacing", 1.0)) or unit
