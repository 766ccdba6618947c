"""Files in, files out: pictures, masks, volumes, folders of tasks."""

from typing import TYPE_CHECKING

from universeg_jax.util.imports import lazy_names

# Editors and type checkers read the first branch, Python the second. A test compares them.
if TYPE_CHECKING:
    from universeg_jax.io.volume_files import list_volumes as list_volumes
    from universeg_jax.io.volume_files import read_label_volume as read_label_volume
    from universeg_jax.io.volume_files import read_volume as read_volume
    from universeg_jax.io.volume_files import write_label_volume as write_label_volume
    from universeg_jax.io.volumes import Volume as Volume
else:
    __all__, __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "volume_files": ("list_volumes", "read_label_volume", "read_volume", "write_label_volume"),
            "volumes": ("Volume",),
        },
    )
