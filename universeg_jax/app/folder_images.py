"""Images and masks of a folder as the page reads them, and the problems that are found on the way."""

from contextlib import AbstractContextManager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

from universeg_jax.app.files import PictureFiles
from universeg_jax.app.pictures import for_screen, kept_thumbnail, thumbnail
from universeg_jax.app.scan_slices import ScanSlices
from universeg_jax.app.states import Problems, file_stamp
from universeg_jax.io.task_folder import check_same_size


class FolderImages:
    """Read images, masks and thumbnails of a folder by name.

    Args:
        files: images and masks on disk.
        thumbnails: folder of kept thumbnails.

    Attributes:
        files: images and masks on disk.
        problems: images and volumes that cannot be used, and why.
    """

    def __init__(self, files: PictureFiles | ScanSlices, thumbnails: Path):
        self.files, self._thumbnails = files, thumbnails
        self.problems = Problems()
        for name, reason in files.problems.items():
            self.problems.note(name, reason)

    @property
    def names(self) -> list[str]:
        """Names of all images, sorted. Slices are listed scan by scan."""
        return self.files.names

    @property
    def scans(self) -> dict[str, list[str]]:
        """Names of the slices of each scan; {} in a folder of pictures."""
        return self.files.scans

    def image(self, name: str) -> np.ndarray:
        """Read an image (H,W) or (H,W,3); a picture in its own dtype, a slice as uint8."""
        return self.files.image(name)

    def picture(self, name: str) -> np.ndarray:
        """Read an image as (H,W,3) uint8 for the screen, scaled by its own minimum and maximum."""
        return for_screen(self.image(name))

    def read(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Read an image as `image` does, and its mask as `mask` does.

        Raises:
            InputError: files that cannot be read, or a mask of another size than its image.
        """
        image, mask = self.image(name), self.mask(name)
        if mask is not None:
            check_same_size(self.files.mask_file(name), mask, self.files.image_file(name), image)
        return image, mask

    def noting(self, name: str) -> AbstractContextManager[None]:
        """Note an error inside as the problem of an image, or of the volume of a slice; see `Problems.noting`."""
        return self.problems.noting(self.files.scan_of(name), self.version(name))

    def problem(self, name: str) -> str:
        """Return why an image cannot be used; "" for one without a known problem."""
        return self.problems.of(self.files.scan_of(name))

    def is_still_unusable(self, name: str) -> bool:
        """Tell whether an image has a problem, and its files have not changed since."""
        return self.problems.is_of(self.files.scan_of(name), self.version(name))

    def version(self, name: str) -> tuple:
        """Return values that change when a file of an image changes."""
        found: list = []
        for file in (self.files.image_file(name), self.files.mask_file(name)):
            with suppress(OSError):
                found += file_stamp(file)
        return tuple(found)

    def thumbnail(self, name: str, *, glance: bool = False) -> Image.Image:
        """Return a small picture of an image. It is made once and kept.

        Args:
            name: the image.
            glance: whether no other slice of the same volume is likely to be read soon.
        """
        read = self.files.glance if glance else self.files.image
        return thumbnail(self._thumbnails, self.files.stamp(name), lambda: for_screen(read(name)))

    def kept_thumbnail(self, name: str) -> Image.Image | None:
        """Return the small picture of an image if it was made before."""
        with suppress(OSError):  # the image vanished
            return kept_thumbnail(self._thumbnails, self.files.stamp(name))
        return None

    def mask(self, name: str) -> np.ndarray | None:
        """Read the class values (H,W) of an image's mask; None if there is none."""
        return self.files.mask(name)

    def token(self, name: str) -> str:
        """Return what identifies the content of an image's mask, to notice changes by others."""
        return self.files.token(name)
