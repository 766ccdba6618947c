"""SAM, the segment-anything model (Kirillov et al., ICCV 2023), and MedSAM, MobileSAM and LiteMedSAM.

    features = sam.encode(images)                                      # once for each image
    logits, iou = sam.decode(features.embedding, boxes=boxes)          # once for each prompt

All have the same prompt encoder and mask decoder. They differ in the image encoder, the image size and the scaling of
intensities. `resize_longest`, `prompts_to_resized` and `logits_to_image` lead from an image of any size to the
network and back.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from flax import nnx

from universeg_jax.backend import compiled
from universeg_jax.errors import InputError
from universeg_jax.models.sam.image_encoder import Features, ImageEncoder, ImageEncoderConfig
from universeg_jax.models.sam.mask_decoder import NO_POINT, MaskDecoder, PromptEncoder
from universeg_jax.models.sam.tiny_vit import TinyViT, TinyViTConfig
from universeg_jax.nn.resample import resize_linear
from universeg_jax.shapes import Array, Float, check_floating, check_images
from universeg_jax.util.checks import check_numbers, check_tuple

RGB = tuple[float, float, float]

SAM_MEAN: RGB = (123.675 / 255, 116.28 / 255, 103.53 / 255)
SAM_DEVIATION: RGB = (58.395 / 255, 57.12 / 255, 57.375 / 255)
"""Mean and standard deviation of colours in [0,1] that SAM and MobileSAM were trained with (ImageNet)."""


@dataclass(frozen=True)
class SAMConfig:
    """Architecture of a SAM.

    Attributes:
        encoder: architecture of the image encoder.
        input_size: side in pixels of the square input image.
        mean, deviation: numbers subtracted from each colour in [0,1], and divided by afterwards.
        features: number of features of the image embedding and the tokens.
        mask_features: number of features in the middle of the encoder of mask prompts.
        decoder_depth: number of blocks of the two-way transformer.
        decoder_heads: number of its attention heads.
        decoder_mlp: number of features inside its MLPs.
        decoder_epsilon: number added to the variance in its layer norms: 1e-5 in the released code, 1e-6 in the code
            of Hugging Face.
        iou_hidden: number of features inside the head that predicts the IoU.
    """

    encoder: ImageEncoderConfig | TinyViTConfig = field(default_factory=ImageEncoderConfig)
    input_size: int = 1024
    mean: RGB = SAM_MEAN
    deviation: RGB = SAM_DEVIATION
    features: int = 256
    mask_features: int = 16
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp: int = 2048
    decoder_epsilon: float = 1e-5
    iou_hidden: int = 256

    @classmethod
    def vit_b(cls) -> "SAMConfig":
        """Create the configuration of SAM with a ViT-B, the base network."""
        return cls()

    @classmethod
    def vit_l(cls) -> "SAMConfig":
        """Create the configuration of SAM with a ViT-L, the large network."""
        return cls(encoder=ImageEncoderConfig(features=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)))

    @classmethod
    def vit_h(cls) -> "SAMConfig":
        """Create the configuration of SAM with a ViT-H, the huge network."""
        return cls(encoder=ImageEncoderConfig(features=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)))

    @classmethod
    def medsam(cls) -> "SAMConfig":
        """Create the configuration of MedSAM: ViT-B on medical images in [0,1] (Ma et al., 2024)."""
        return cls(mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0))

    @classmethod
    def mobile_sam(cls) -> "SAMConfig":
        """Create the configuration of MobileSAM (Zhang et al., arXiv 2306.14289)."""
        return cls(encoder=TinyViTConfig())

    @classmethod
    def lite_medsam(cls) -> "SAMConfig":
        """Create the configuration of LiteMedSAM: MedSAM distilled into a TinyViT, 256 pixels in [0,1]."""
        encoder = TinyViTConfig(stem_stride=1)
        return cls(encoder=encoder, input_size=256, mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0))

    @property
    def grid_size(self) -> int:
        """Side of the image embedding. Mask prompts and logits are four times as wide."""
        return self.input_size // self.encoder.stride

    def __post_init__(self):
        sizes = ("input_size", "features", "mask_features", "decoder_depth", "decoder_heads", "decoder_mlp")
        check_numbers(self, *sizes, "iou_hidden", least=1, whole=True)
        check_numbers(self, "decoder_epsilon", above=0)
        check_tuple(self, "mean", length=3)
        check_tuple(self, "deviation", length=3, above=0)
        if self.input_size % self.encoder.stride:
            raise InputError(
                f"an input of {self.input_size} pixels is not divisible by {self.encoder.stride}: change it"
            )
        if self.features % 8 or self.features // 2 % self.decoder_heads:
            raise InputError(
                f"features={self.features} must be divisible by 8, and their half by decoder_heads={self.decoder_heads}"
            )


class SAM(nnx.Module):
    """SAM network.

    Its methods compile themselves once for each combination of shapes. They compute in the dtype of the images or the
    embedding, float32 or bfloat16; parameters are float32.
    """

    def __init__(self, config: SAMConfig, *, rngs: nnx.Rngs):
        self.config = config
        if isinstance(config.encoder, TinyViTConfig):
            self.image_encoder = TinyViT(config.encoder, config.features, rngs=rngs)
        else:
            self.image_encoder = ImageEncoder(config.encoder, config.grid_size, config.features, rngs=rngs)
        self.prompt_encoder = PromptEncoder(config.features, config.mask_features, rngs=rngs)
        self.mask_decoder = MaskDecoder(
            config.features,
            depth=config.decoder_depth,
            heads=config.decoder_heads,
            mlp=config.decoder_mlp,
            iou_hidden=config.iou_hidden,
            epsilon=config.decoder_epsilon,
            rngs=rngs,
        )

    @compiled()
    def encode(self, images: Array) -> Features:
        """Compute the features of images, for `decode` and for prototypes.

        Args:
            images: (B,H,W,3) in [0,1], the longer side `config.input_size` pixels. The shorter side is padded with
                zeros below or on the right, after the mean is subtracted.

        Returns:
            Features with h = w = `config.grid_size`.

        Raises:
            ValueError: images of a wrong shape, size or dtype.
        """
        check_images("images", images, channels=3)
        size, (height, width) = self.config.input_size, images.shape[1:3]
        if max(height, width) != size:
            raise ValueError(
                f"images are {height}x{width}; the longer side must be {size} pixels: resize them with "
                "universeg_jax.models.sam.model.resize_longest"
            )
        mean, deviation = (jnp.asarray(x, images.dtype) for x in (self.config.mean, self.config.deviation))
        images = (images - mean) / deviation
        return self.image_encoder(jnp.pad(images, ((0, 0), (0, size - height), (0, size - width), (0, 0))))

    @compiled()
    def decode(
        self,
        embedding: Array,
        *,
        points: Array | None = None,
        point_labels: Array | None = None,
        boxes: Array | None = None,
        mask: Array | None = None,
    ) -> tuple[Float[Array, "B 4 H W"], Float[Array, "B 4"]]:
        """Compute the masks of B prompts. A prompt has points, a box, a mask or several of them.

        Args:
            embedding: (B,h,w,F) from `encode`, or (1,h,w,F) for all prompts.
            points: (B,P,2), (x, y) in pixels of the encoder's image, counted from the centre of its first pixel.
            point_labels: (B,P), 1 for foreground, 0 for background, -1 for padding of the array.
            boxes: (B,4), (x0, y0, x1, y1) in the same pixels.
            mask: logits (B,4h,4w,1), for example from an earlier call.

        Returns:
            Logits (B,4,4h,4w) over the padded image, and their expected IoU (B,4). Mask 0 is meant for clear prompts,
            masks 1 to 3 for ambiguous ones (a single point).

        Raises:
            ValueError: shapes do not fit together, or a dtype is wrong.
        """
        count = _prompt_count(embedding, points, point_labels, boxes, mask)
        height, width = embedding.shape[1:3]
        size, dtype = self.config.input_size, embedding.dtype
        tokens = []
        if points is not None:
            points, labels = points.astype(jnp.float32), point_labels
            if boxes is None:  # as in training: a padding point takes the place of a box
                points = jnp.pad(points, ((0, 0), (0, 1), (0, 0)))
                labels = jnp.pad(labels, ((0, 0), (0, 1)), constant_values=NO_POINT)
            tokens.append(self.prompt_encoder.points(points, labels, size))
        if boxes is not None:
            tokens.append(self.prompt_encoder.boxes(boxes.astype(jnp.float32), size))
        tokens = jnp.concatenate(tokens, axis=1) if tokens else jnp.zeros((count, 0, self.config.features))
        dense = self.prompt_encoder.no_mask[...] if mask is None else self.prompt_encoder.mask(mask.astype(dtype))
        grid = self.prompt_encoder.grid(height, width)
        return self.mask_decoder(embedding + dense.astype(dtype), grid.astype(dtype), tokens.astype(dtype))


def _prompt_count(
    embedding: Array, points: Array | None, labels: Array | None, boxes: Array | None, mask: Array | None
) -> int:
    """Check the shapes of prompts, and return their number.

    Raises:
        ValueError: shapes do not fit together, or a dtype is wrong.
    """
    if (points is None) != (labels is None) or (
        points is not None and labels is not None and points.shape[:2] != labels.shape
    ):
        raise ValueError("points (B,P,2) and point_labels (B,P) go together, one label for each point")
    if points is not None and (points.ndim != 3 or points.shape[-1] != 2):
        raise ValueError(f"points have shape {points.shape}; they must be (B,P,2)")
    if labels is not None and not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"point_labels are {labels.dtype}: pass integers")
    if boxes is not None and (boxes.ndim != 2 or boxes.shape[-1] != 4):
        raise ValueError(f"boxes have shape {boxes.shape}; they must be (B,4)")
    if embedding.ndim != 4:
        raise ValueError(f"embedding has shape {embedding.shape}; it must be (B,h,w,F), as from `encode`")
    images, height, width, _ = embedding.shape
    for name, array in (("embedding", embedding), ("mask", mask)):
        if array is not None:
            check_floating(name, array)
    if mask is not None and mask.shape[1:] != (4 * height, 4 * width, 1):
        raise ValueError(f"mask has shape {mask.shape}; for this embedding it must be (B,{4 * height},{4 * width},1)")
    counts = {x.shape[0] for x in (points, boxes, mask) if x is not None} or {images}
    if len(counts) > 1 or images not in (1, *counts):
        raise ValueError(
            f"{images} embeddings and prompts for {sorted(counts)}: give as many points, boxes and masks, and as many "
            "embeddings or one"
        )
    return counts.pop()


def resized_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Compute height and width of an image resized so that its longer side has `longest` pixels.

    Each side keeps at least one pixel.

    Raises:
        ValueError: the image has no pixels.
    """
    if min(size) < 1:
        raise ValueError(f"an image of {size[0]}x{size[1]} has no pixels")
    scale = longest / max(size)
    height, width = (max(1, int(side * scale + 0.5)) for side in size)
    return height, width


def resize_longest(images: Float[Array, "N H W C"], longest: int) -> Float[Array, "N h w C"]:
    """Resize images for `SAM.encode`, bilinearly with antialiasing.

    Args:
        images: (N,H,W,C), floating-point.
        longest: side in pixels of the longer side afterwards, `SAMConfig.input_size`.
    """
    check_floating("images", images)
    size = resized_size(images.shape[1:3], longest)
    return jax.image.resize(images, (images.shape[0], *size, images.shape[3]), "linear", antialias=True)


def prompts_to_resized(prompts: Float[Array, "*n _"], size: tuple[int, int], longest: int) -> Float[Array, "*n _"]:
    """Convert points (…,2) or boxes (…,4) from pixels of an image to pixels of the resized image.

    Args:
        prompts: (x, y) of points, or twice for the corners of boxes, floating-point.
        size: height and width of the image before it was resized.
        longest: longer side of the resized image, `SAMConfig.input_size`.
    """
    check_floating("prompts", prompts)
    height, width = resized_size(size, longest)
    scale = jnp.asarray([width / size[1], height / size[0]] * (prompts.shape[-1] // 2), prompts.dtype)
    return prompts * scale


def logits_to_image(logits: Float[Array, "B M h w"], size: tuple[int, int], longest: int) -> Float[Array, "B M H W"]:
    """Resize the logits of `SAM.decode` to the size of the image. The mask is logits > 0.

    The logits are enlarged to the padded square, the padding is cut off, and the rest is resized.

    Args:
        logits: (B,M,h,w).
        size: height and width of the image before it was resized.
        longest: `SAMConfig.input_size`.
    """
    height, width = resized_size(size, longest)
    padded = resize_linear(jnp.moveaxis(logits, 1, -1), (longest, longest))
    return jnp.moveaxis(resize_linear(padded[:, :height, :width], size), -1, 1)
