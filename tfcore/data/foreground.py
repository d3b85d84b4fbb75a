"""Where the object is, from the image alone: used when no precomputed foreground masks are given."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage
from skimage import color, filters
from skimage.color.colorconv import xyz_from_rgb

Array = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

WORKING_SIDE = 128  # about the side in pixels on which the object is looked for: exact to a pixel or two of 256
SMOOTHING = 1.5  # radius in pixels of the mean that smooths the image
BORDER = 0.03  # width of the frame, as a share of the side, whose median colour is taken for the background
CLOSING = 0.02  # radius of the closing, as a share of the side
SMALLEST = 0.003  # share of the image below which a component is dropped, unless the largest, and a hole is filled
PLAUSIBLE = (0.02, 0.98)  # shares outside which the result is not trusted and anomalies may lie anywhere
STEPS = 1 << 16  # of the table of cube roots: with them CIELAB is exact to 0.1


def foreground_mask(image: Array) -> Array:
    """Return 1 on the object and 0 on the background, uint8 (H, W), of an RGB image uint8 (H, W, 3).

    The distance to the background's colour in CIELAB is thresholded per image (Otsu), closed, holes inside
    objects are filled and the largest components kept. An image whose background cannot be told gets ones everywhere.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected an RGB image uint8 (H, W, 3), found {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    factor = max(1, round(min(height, width) / WORKING_SIDE))
    small = Image.fromarray(image).reduce(factor).filter(ImageFilter.BoxBlur(SMOOTHING / factor))
    mask = find_object(np.asarray(small))
    low, high = PLAUSIBLE
    if not low < np.count_nonzero(mask) / mask.size < high:
        return np.ones((height, width), np.uint8)
    return mask.repeat(factor, 1).repeat(factor, 0)[:height, :width].view(np.uint8)


def find_object(smooth: Array) -> Mask:
    """Return where a smoothed RGB image (H, W, 3) differs from its background; all of it if there is no difference."""
    side = min(smooth.shape[:2])
    distance = background_distance(lab(smooth), max(1, round(BORDER * side)))
    lowest, highest = float(distance.min()), float(distance.max())
    if lowest == highest:
        return np.ones(smooth.shape[:2], bool)
    level = ((distance - lowest) * (255 / (highest - lowest))).astype(np.uint8)
    threshold = filters.threshold_otsu(hist=np.bincount(level.ravel(), minlength=256))
    closed = close(level > threshold, max(1, round(CLOSING * side)))
    return largest_components(fill_holes(closed, level > threshold / 2))


def lab(image: Array) -> Floats:
    """Return CIELAB (3, H, W) of an RGB image uint8 (H, W, 3): scikit-image's, but by tables, 20 times as fast."""
    linear, root, to_xyz, to_lab = _tables()
    xyz = to_xyz @ linear.take(image.reshape(-1, 3).T)
    values = to_lab @ root.take(xyz.astype(np.int32))
    return values.reshape(3, *image.shape[:2])  # L is not shifted by -16: only differences are wanted


@lru_cache(maxsize=1)
def _tables() -> tuple[Floats, ...]:
    """Return intensity by level (256), f by share of white (STEPS + 1) and two matrices, as CIELAB defines them."""
    levels = np.arange(256) / 255
    linear = np.where(levels > 0.04045, ((levels + 0.055) / 1.055) ** 2.4, levels / 12.92)
    share = np.arange(STEPS + 2) / STEPS
    root = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    to_xyz = STEPS * xyz_from_rgb / color.xyz_tristimulus_values(illuminant="D65", observer="2")[:, None]
    to_lab = [[0, 116, 0], [500, -500, 0], [0, 200, -200]]
    return tuple(np.asarray(table, np.float32) for table in (linear, root, to_xyz, to_lab))


def background_distance(values: Floats, frame: int) -> Floats:
    """Return the distance (H, W) of every pixel of (3, H, W) to the median colour of the outer ``frame`` pixels."""
    inner = values[:, frame:-frame]
    outer = (values[:, :frame], values[:, -frame:], inner[:, :, :frame], inner[:, :, -frame:])
    border = np.concatenate([part.reshape(3, -1) for part in outer], axis=1)
    middle = border.shape[1] // 2
    difference = values - np.partition(border, middle, axis=1)[:, middle, None, None]
    return np.asarray(np.sqrt(np.square(difference, out=difference).sum(0)))


def close(mask: Mask, radius: int) -> Mask:
    """Close gaps narrower than twice ``radius`` pixels; what lies outside the image neither grows nor shrinks it."""
    for _ in range(2):  # grow the object, then its complement
        for step in range(radius):
            mask = grow(mask, square=step % 2 == 1)
        mask = ~mask
    return mask


def grow(mask: Mask, square: bool) -> Mask:
    """Grow by a pixel up, down, left and right, with ``square`` diagonally too; in turn the two make an octagon."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    if square:
        mask = grown.copy()
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def fill_holes(mask: Mask, doubtful: Mask) -> Mask:
    """Fill the holes that are small, or mostly ``doubtful``: the inside of an object, not background seen through."""
    labels, _ = ndimage.label(~mask)
    sizes = np.bincount(labels.ravel())
    inside = np.bincount(labels[doubtful], minlength=len(sizes))
    fill = (sizes < SMALLEST * mask.size) | (inside > sizes / 2)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        fill[edge] = False  # open to the outside, so no hole
    fill[0] = True  # the mask itself
    return np.asarray(fill.take(labels))


def largest_components(mask: Mask) -> Mask:
    """Keep the largest connected component and all that cover a visible share of the image."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= min(SMALLEST * mask.size, sizes.max())).take(labels)) if count else mask
