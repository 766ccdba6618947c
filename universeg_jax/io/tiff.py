"""TIFF files: single pictures as their values are stored, and stacks of pages as volumes.

Pillow inverts some "min is white" files, wraps unsigned 32-bit values and knows no half floats. tifffile reads values
as they are stored. Pillow still decodes the compressions for which tifffile needs a further package, such as LZW.
"""

import io
import logging
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from universeg_jax.errors import InputError
from universeg_jax.io.volumes import Volume, check_header
from universeg_jax.util.files import check_regular

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)  # photometric interpretations
UNCOMPRESSED, DEFLATE = 1, (8, 32946)
JPEG = (6, 7, 33007, 34892)
MOST_DEFLATED = 1032  # times that deflate shrinks data at most
MINIMUM_PREDICTOR = (1, 2)  # predictors that tifffile undoes without a further package


@dataclass(frozen=True)
class Tiff:
    """Stored values of a TIFF picture, and their meaning.

    Attributes:
        samples: (H,W,S), in the order of rows and columns of the file.
        bits: bits of one sample.
        photometric: the photometric interpretation; a colour space that is not listed above.
        extra: meaning of the samples beyond the colour: 0 unspecified, 1 and 2 alpha.
        palette: (N,3) uint8, or None.
        orientation: 1 to 8, as in EXIF.
        lossy: whether the compression changes values.
    """

    samples: np.ndarray
    bits: int
    photometric: int
    extra: tuple[int, ...]
    palette: np.ndarray | None
    orientation: int
    lossy: bool


def is_tiff(path: Path) -> bool:
    """Recognise a TIFF file by its first four bytes."""
    with open(path, "rb") as file:
        return file.read(4) in MAGIC


def read_tiff(path: Path, check_size) -> Tiff | None:
    """Read a TIFF file of one page.

    Args:
        check_size: function of width and height that raises InputError for too large a picture.

    Returns:
        The stored values; None for colour spaces such as CMYK and YCbCr, which Pillow converts to RGB.

    Raises:
        InputError: several pages, a volume, or samples that cannot be decoded.
    """
    import tifffile

    with _silent(), tifffile.TiffFile(path) as file:
        page = file.pages[0]
        check_size(int(page.imagewidth), int(page.imagelength))
        pages = max(len(file.pages), int((file.imagej_metadata or {}).get("images", 1)) if file.is_imagej else 1)
        if pages > 1:
            raise InputError(f"{path}: has {pages} pages; save each page as a file of its own")
        photometric = int(page.photometric)
        if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE):
            return None
        if page.axes not in ("YX", "YXS", "SYX"):
            raise InputError(f"{path}: has the axes {page.axes} {page.shape}; save one picture (H,W) or (H,W,3)")
        samples = _decode(path, file, page)
        if page.axes == "SYX":
            samples = np.moveaxis(samples, 0, -1)
        samples = samples.reshape(page.imagelength, page.imagewidth, -1)
        colours = 3 if photometric == RGB else 1
        if samples.shape[-1] < colours:
            raise InputError(f"{path}: is RGB by its header, but has {samples.shape[-1]} channels; it is damaged")
        extra = tuple(int(meaning) for meaning in page.extrasamples)
        extra = (extra + (0,) * samples.shape[-1])[: samples.shape[-1] - colours]
        palette = None if page.colormap is None else (page.colormap.T >> 8).astype(np.uint8)
        orientation = page.tags.valueof(274, 1)
        return Tiff(
            samples, page.bitspersample, photometric, extra, palette, int(orientation), page.compression in JPEG
        )


def _decode(path: Path, file, page) -> np.ndarray:
    compression = int(page.compression)
    most = path.stat().st_size * (1 if compression == UNCOMPRESSED else MOST_DEFLATED)
    if compression in (UNCOMPRESSED, *DEFLATE) and page.nbytes > most:
        raise InputError(
            f"{path}: its header promises {page.nbytes:,} bytes, more than the file can hold; it is damaged"
        )
    whole_bytes = page.bitspersample % 8 == 0 or page.bitspersample == 1
    if whole_bytes and int(page.predictor) in MINIMUM_PREDICTOR:
        if compression == UNCOMPRESSED:
            return page.asarray()
        if compression in DEFLATE:
            _check_deflated(path, file, page)
            return page.asarray()
    return _decode_by_pillow(path, page)


def _check_deflated(path: Path, file, page) -> None:
    """Refuse strips that inflate to more than the header states, because tifffile inflates them whole."""
    limit = int(np.prod(page.chunks)) * page.dtype.itemsize
    for strip, _ in file.filehandle.read_segments(page.dataoffsets, page.databytecounts):
        inflating = zlib.decompressobj()
        if strip and len(inflating.decompress(strip, limit + 1)) > limit:
            raise InputError(f"{path}: a strip inflates to more than {limit} bytes, against its header: it is damaged")


def _decode_by_pillow(path: Path, page) -> np.ndarray:
    """Decode by libtiff, and undo the changes of Pillow: inversion, expansion of few bits, and wrapped signs."""
    named = f"{page.dtype} samples with the compression {getattr(page.compression, 'name', page.compression)}"
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=("TIFF",)) as picture:
            if len(picture.getbands()) > 1 and page.bitspersample != 8:
                raise InputError(f"{path}: colour of {named} cannot be read; save it without compression")
            picture.load()
            values = np.asarray(picture)
            values = values.astype(values.dtype.newbyteorder("="))
    except Image.UnidentifiedImageError:
        raise InputError(f"{path}: {named} cannot be read; save it without compression") from None
    bits, inverted = page.bitspersample, int(page.photometric) == WHITE_IS_ZERO
    if bits == 1:
        return values ^ inverted
    if bits < 8 and int(page.photometric) != PALETTE:
        values = values // (255 // (2**bits - 1))
    if inverted and bits <= 8:
        values = (2**bits - 1) - values
    if bits >= 8 and values.dtype.itemsize == page.dtype.itemsize:
        return values.view(page.dtype)
    return values if bits < 8 else values.astype(page.dtype)


@contextmanager
def _silent():
    """Silence tifffile's log about odd tags, which do not matter here."""
    log = logging.getLogger("tifffile")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


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
    except Exception:  # no TIFF: the reader of pictures reports the problem
        return False


def read_stack(file: Path) -> Volume:
    """Read a stack: pages are slices. Columns run to the left and rows to the back, as radiologists view slices.

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
