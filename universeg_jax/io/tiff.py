"""Decode one TIFF picture to the values that the file stores.

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
