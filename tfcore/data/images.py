"""Reading and resizing images and masks, whatever the format that a data set comes in."""

import io
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tfcore.runtime.errors import UserError

# Resizing only reads Pillow's pixels, and copying them first would cost more than it protects.
warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}

ImageArray = NDArray[np.uint8]
MaskArray = NDArray[np.bool_]


def pictures_below(folder: Path) -> list[Path]:
    """Return the images in a folder and the folders in it, sorted; hidden files (``._name.png`` of a Mac) are none."""
    return sorted(path for path in folder.rglob("*") if is_picture(path) and not is_hidden(path.relative_to(folder)))


def is_picture(path: Path) -> bool:
    """Tell by its name whether a file is an image."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_hidden(path: Path) -> bool:
    """Tell whether any part of a relative path begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def open_image(path: Path | str, content: bytes) -> Image.Image:
    """Decode a file's bytes completely; raises `UserError` with its name when it is truncated or no image."""
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: not a readable image (empty, or of an unknown format)") from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: corrupt image: {' '.join(str(error).split())}") from error
    return image


def to_rgb(image: Image.Image, path: Path | str) -> Image.Image:
    """Convert to RGB of 8 bits: grey and palettes expand, alpha is dropped, 16 bits are scaled to the full range."""
    if image.mode == "F":
        raise UserError(f"{path}: floating-point images have no defined range; convert it to 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UserError(f"{path}: values beyond 16 bits; convert it to 8 or 16 bits")
        # Pillow's own conversion clips 16 bits at 255 and would give a white image.
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def read_image(path: Path | str, content: bytes | None = None) -> ImageArray:
    """Read an image as uint8 (H, W, 3), RGB; ``content`` are the file's bytes when they have been read already.

    Raises `UserError` with the file's name when it is missing, damaged or no image.
    """
    content = _read(path) if content is None else content
    with suppress(ValueError):  # another format, or damaged: for Pillow to convert or to judge
        if simplejpeg.decode_jpeg_header(content)[2] != "CMYK":
            return np.asarray(simplejpeg.decode_jpeg(content, "RGB"))  # Pillow's pixels, in two thirds of its time
    return np.asarray(to_rgb(open_image(path, content), path))


def read_mask(path: Path | str, content: bytes | None = None) -> MaskArray:
    """Read a mask as bool (H, W): true where any colour channel is not zero (class ids, 1 or 255, 8 or 16 bits)."""
    image = open_image(path, _read(path) if content is None else content)
    if image.format == "JPEG":
        raise UserError(f"{path}: a JPEG cannot be a mask, compression changes its values; convert the original to PNG")
    if image.mode in ("P", "PA", "CMYK", "YCbCr", "HSV", "LAB"):
        image = image.convert("RGB")
    values = np.asarray(image)
    if image.mode in ("LA", "La", "RGBA", "RGBa", "RGBX"):
        values = values[..., :-1]  # an opaque alpha channel is not an anomaly
    return np.asarray(values != 0 if values.ndim == 2 else (values != 0).any(axis=2))


def _read(path: Path | str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error


def resize_image(image: ImageArray, size: int) -> ImageArray:
    """Resize uint8 (H, W, 3) to uint8 (size, size, 3), bilinear with antialiasing.

    By torch, whose vectorised kernel is several times as fast as Pillow's and differs from it by at most one level.
    """
    import torch  # slow to import, and only packing resizes
    from torch.nn.functional import interpolate

    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    resized = interpolate(planes, (size, size), mode="bilinear", antialias=True)[0].numpy()
    result = np.empty((size, size, 3), np.uint8)
    for channel in range(3):  # several times as fast as one copy in another order
        result[..., channel] = resized[channel]
    return result


def resize_mask_nearest(mask: MaskArray, size: int) -> MaskArray:
    """Resize to bool (size, size): each pixel takes the value at its centre (protocol ``paper``)."""
    return np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST))


def resize_mask_antialiased(mask: MaskArray, size: int) -> MaskArray:
    """Resize to bool (size, size): antialiased bilinear of 255, above 0.5 (protocol ``release``).

    The threshold is 0.5 of 255, hence every pixel that the anomaly touches counts.
    """
    values = Image.fromarray(mask).convert("L").convert("F")
    return np.asarray(values.resize((size, size), Image.Resampling.BILINEAR)) > 0.5


def centre_crop(images: NDArray[Any], crop: int) -> NDArray[Any]:
    """Return a view of the central ``crop`` × ``crop`` pixels of (N, H, W, …); errors if the images are smaller."""
    height, width = images.shape[1:3]
    if crop > min(height, width):
        raise UserError(f"data.crop: {crop} is larger than the packed images ({height} × {width}); see data.resize")
    top, left = (height - crop) // 2, (width - crop) // 2
    return images[:, top : top + crop, left : left + crop]
