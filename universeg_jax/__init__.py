"""In-context medical image segmentation in JAX.

import universeg_jax as uj

task = uj.Segmenter().fit(images, labels)
masks = task.predict(new_images)
"""

from typing import TYPE_CHECKING

from universeg_jax.util.imports import lazy_names
from universeg_jax.version import __version__ as __version__

# Editors and type checkers read the first branch, Python the second. A test compares them.
if TYPE_CHECKING:
    from universeg_jax import data as data
    from universeg_jax import evaluate as evaluate
    from universeg_jax import train as train
    from universeg_jax import weights as weights
    from universeg_jax.errors import InputError as InputError
    from universeg_jax.errors import SegmentationWarning as SegmentationWarning
    from universeg_jax.models.dinov2 import DINOv2 as DINOv2
    from universeg_jax.models.dinov2 import DINOv2Config as DINOv2Config
    from universeg_jax.models.in_context import InContextModel as InContextModel
    from universeg_jax.models.protosam.config import ComponentsConfig as ComponentsConfig
    from universeg_jax.models.protosam.config import Keep as Keep
    from universeg_jax.models.protosam.config import ProtoSAMConfig as ProtoSAMConfig
    from universeg_jax.models.protosam.pipeline import ProtoSAM as ProtoSAM
    from universeg_jax.models.sam.model import SAM as SAM
    from universeg_jax.models.sam.model import SAMConfig as SAMConfig
    from universeg_jax.models.universeg import UniverSeg as UniverSeg
    from universeg_jax.models.universeg import UniverSegConfig as UniverSegConfig
    from universeg_jax.nn.cross_conv import CrossBlock as CrossBlock
    from universeg_jax.nn.cross_conv import CrossConv as CrossConv
    from universeg_jax.segment.segmenter import Segmenter as Segmenter
    from universeg_jax.segment.task import Segmentation as Segmentation
    from universeg_jax.segment.task import Task as Task
    from universeg_jax.weights.loading import load as load
    from universeg_jax.weights.loading import protosam as protosam
    from universeg_jax.weights.loading import universeg as universeg
else:
    __all__, __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "data": (),
            "evaluate": (),
            "train": (),
            "weights": (),
            "errors": ("InputError", "SegmentationWarning"),
            "models.dinov2": ("DINOv2", "DINOv2Config"),
            "models.in_context": ("InContextModel",),
            "models.protosam.config": ("ComponentsConfig", "Keep", "ProtoSAMConfig"),
            "models.protosam.pipeline": ("ProtoSAM",),
            "models.sam.model": ("SAM", "SAMConfig"),
            "models.universeg": ("UniverSeg", "UniverSegConfig"),
            "nn.cross_conv": ("CrossBlock", "CrossConv"),
            "segment.segmenter": ("Segmenter",),
            "segment.task": ("Segmentation", "Task"),
            "version": ("__version__",),
            "weights.loading": ("load", "protosam", "universeg"),
        },
    )
