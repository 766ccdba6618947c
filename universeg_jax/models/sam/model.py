"""SAM, the segment-anything model (Kirillov et al., ICCV 2023), and MedSAM, MobileSAM, LiteMedSAM.

features = sam.encode(images)                                      # once for each image
    logits, iou = sam.decode(features.embedding, boxes=boxes)          # once for each prompt

What these networks share is the prompt encoder and the mask decoder; they differ in the image encoder, the size of
the image and what is done to its intensities. `sam_images.py` has the ways from an image of any size to theirs and
back.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from flax import nnx

from universeg_jax.compiled import compiled
from universeg_jax.errors import InputError
from universeg_jax.models.sam.image_encoder import Features, ImageEncoder, ImageEncoderConfig
from universeg_jax.models.sam.mask_decoder import MaskDecoder
from universeg_jax.models.sam.prompt_encoder import NO_POINT, PromptEncoder
from universeg_jax.models.sam.tiny_vit import TinyViT, TinyViTConfig
from universeg_jax.nn.resample import resize_linear
from universeg_jax.shapes import Array, Float, Int, Shaped, typed
from universeg_jax.util.checks import check_numbers, check_tuple

RGB = tuple[float, float, float]

SAM_MEAN: RGB = (123.675 / 255, 116.28 / 255, 103.53 / 255)
SAM_DEVIATION: RGB = (58.395 / 255, 57.12 / 255, 57.375 / 255)
"""Of the colours of natural images in [0,1], as SAM and MobileSAM take them."""


@dataclass(frozen=True)
class SAMConfig:
    """What a SAM is made of.

    Attributes:
        encoder: of the image encoder.
        input_size: side in pixels of the square image it takes.
        mean, deviation: of colours in [0,1]: what is subtracted from the image, and what it is divided by.
        features: of the image embedding and the tokens.
        mask_features: of the middle of the encoder of mask prompts.
        decoder_depth, decoder_heads, decoder_mlp: blocks of the two-way transformer, heads, features inside its MLPs.
        decoder_epsilon: of its layer norms: 1e-5 in the released code, 1e-6 in Hugging Face's.
        iou_hidden: features inside the head that predicts the IoU.
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
        """94 million parameters."""
        return cls()

    @classmethod
    def vit_l(cls) -> "SAMConfig":
        return cls(encoder=ImageEncoderConfig(features=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)))

    @classmethod
    def vit_h(cls) -> "SAMConfig":
        return cls(encoder=ImageEncoderConfig(features=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)))

    @classmethod
    def medsam(cls) -> "SAMConfig":
        """SAM's ViT-B trained on medical images, which it takes in [0,1] (Ma et al., 2024)."""
        return cls(mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0))

    @classmethod
    def mobile_sam(cls) -> "SAMConfig":
        """9.8 million parameters (Zhang et al., arXiv 2306.14289)."""
        return cls(encoder=TinyViTConfig())

    @classmethod
    def lite_medsam(cls) -> "SAMConfig":
        """MedSAM distilled into a TinyViT, on 256 pixels in [0,1]."""
        encoder = TinyViTConfig(stem_stride=1)
        return cls(encoder=encoder, input_size=256, mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0))

    @property
    def grid_size(self) -> int:
        """Side of the image embedding. A mask prompt and the logits have four times as many pixels."""
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
    """The network. Its methods compile themselves, once for each combination of shapes, unless they are traced.

    They compute in the type of the images and the embedding, float32 or bfloat16; parameters are float32.
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
    @typed
    def encode(self, images: Float[Array, "B H W 3"]) -> Features:
        """Features of images, for `decode` and for prototypes.

        Args:
            images: in [0,1], the longer side `config.input_size` pixels; the other is filled up with zeros below or
                on the right, after the mean was subtracted.

        Returns:
            embedding (B,h,w,F) and early (B,h,w,C), h = w = `config.grid_size`.

        Raises:
            ValueError: for images of another size.
        """
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
    @typed
    def decode(
        self,
        embedding: Float[Array, "_i h w F"],
        *,
        points: Shaped[Array, "_points _p 2"] | None = None,
        point_labels: Int[Array, "_labels _l"] | None = None,
        boxes: Shaped[Array, "_boxes 4"] | None = None,
        mask: Float[Array, "_masks _h _w 1"] | None = None,
    ) -> tuple[Float[Array, "B 4 H W"], Float[Array, "B 4"]]:
        """Masks of B prompts, each of points, a box, a mask or several of them.

        Args:
            embedding: of `encode`: one for each prompt, or one for all.
            points: (B,P,2), (x, y) in pixels of the encoder's image, counted from the centre of its first pixel.
            point_labels: (B,P), 1 for foreground, 0 for background, -1 for what only fills up the array.
            boxes: (B,4), (x0, y0, x1, y1) in the same pixels.
            mask: logits (B,4h,4w,1), for example those of an earlier call.

        Returns:
            logits (B,4,4h,4w) and the IoU expected of each (B,4). Mask 0 is meant for clear prompts, masks 1 to 3
            for ambiguous ones (a single point). Their pixels are those of the padded image, at 4h×4w.

        Raises:
            ValueError: where shapes do not fit together.
        """
        _, height, width, _ = embedding.shape
        count = _prompt_count(embedding, points, point_labels, boxes, mask)
        size, dtype = self.config.input_size, embedding.dtype
        tokens = []
        if points is not None:
            points, labels = points.astype(jnp.float32), point_labels
            if boxes is None:  # as the network was trained: the place of a box is taken by a point that is none
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
    if (points is None) != (labels is None) or (points is not None and points.shape[:2] != labels.shape):
        raise ValueError("points (B,P,2) and point_labels (B,P) go together, one label for each point")
    images, height, width, _ = embedding.shape
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
    """Height and width of an image after its longer side has become `longest` pixels; each at least one.

    Raises:
        ValueError: for an image without pixels.
    """
    if min(size) < 1:
        raise ValueError(f"an image of {size[0]}x{size[1]} has no pixels")
    scale = longest / max(size)
    height, width = (max(1, int(side * scale + 0.5)) for side in size)
    return height, width


@typed
def resize_longest(images: Float[Array, "N H W C"], longest: int) -> Float[Array, "N h w C"]:
    """Bilinear with antialiasing; what `SAM.encode` takes."""
    size = resized_size(images.shape[1:3], longest)
    return jax.image.resize(images, (images.shape[0], *size, images.shape[3]), "linear", antialias=True)


@typed
def prompts_to_resized(prompts: Float[Array, "*n _"], size: tuple[int, int], longest: int) -> Float[Array, "*n _"]:
    """Points (…,2) or boxes (…,4), (x, y) in pixels of an image of `size`, in those of the resized image."""
    height, width = resized_size(size, longest)
    scale = jnp.asarray([width / size[1], height / size[0]] * (prompts.shape[-1] // 2), prompts.dtype)
    return prompts * scale


@typed
def logits_to_image(logits: Float[Array, "B M h w"], size: tuple[int, int], longest: int) -> Float[Array, "B M H W"]:
    """Logits of `SAM.decode` at the size of the image: enlarged, padding cut off, resized. The mask is logits > 0.

    Args:
        size: height and width of the image before it was resized.
        longest: `SAMConfig.input_size`.
    """
    height, width = resized_size(size, longest)
    padded = resize_linear(jnp.moveaxis(logits, 1, -1), (longest, longest))
    return jnp.moveaxis(resize_linear(padded[:, :height, :width], size), -1, 1)
