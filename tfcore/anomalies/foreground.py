"""Where the object is, from the image alone: used when no precomputed foreground masks are given."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color, filters, measure, morphology

Array = NDArray[np.uint8]
Mask = NDArray[np.bool_]

BORDER = 0.03
"""Width of the frame, as a share of the side, whose median colour is taken for the background."""

SMALLEST = 0.003
"""Share of the image below which a component is dropped, unless it is the largest, and a hole is filled."""

PLAUSIBLE = (0.02, 0.98)
"""Shares of the image outside which the result is not trusted and anomalies may lie anywhere."""


def foreground_mask(image: Array) -> Array:
    """Return 1 on the object and 0 on the background, uint8 (H, W), of an RGB image uint8 (H, W, 3).

    The distance to the background's colour in CIELAB is thresholded per image (Otsu), closed, holes inside
    objects are filled and the largest components kept. An image whose background cannot be told gets ones everywhere.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected an RGB image uint8 (H, W, 3), found {image.dtype} {image.shape}")
    side = min(image.shape[:2])
    distance = background_distance(image, max(1, round(BORDER * side)))
    if distance.max() == distance.min():
        return np.ones(image.shape[:2], np.uint8)
    threshold = filters.threshold_otsu(distance)
    closed = morphology.closing(distance > threshold, morphology.disk(max(1, side // 50)))
    mask = largest_components(fill_holes(closed, distance > threshold / 2))
    low, high = PLAUSIBLE
    return mask.astype(np.uint8) if low < mask.mean() < high else np.ones(image.shape[:2], np.uint8)


def background_distance(image: Array, frame: int) -> NDArray[np.float64]:
    """Return the smoothed CIELAB distance (H, W) of every pixel to the median colour of the outer ``frame`` pixels."""
    smooth = filters.gaussian(image, sigma=1.5, channel_axis=2, preserve_range=True)
    lab = color.rgb2lab(smooth / 255)
    inner = (slice(frame, -frame), slice(frame, -frame))
    outer = np.ones(image.shape[:2], bool)
    outer[inner] = False
    distance: NDArray[np.float64] = np.linalg.norm(lab - np.median(lab[outer], axis=0), axis=2)
    return distance


def fill_holes(mask: Mask, doubtful: Mask) -> Mask:
    """Fill the holes that are small, or mostly ``doubtful``: the inside of an object, not background seen through."""
    labels = measure.label(ndimage.binary_fill_holes(mask) & ~mask)
    sizes = np.bincount(labels.ravel())
    inside = np.bincount(labels.ravel(), weights=doubtful.ravel())
    fill = (sizes < SMALLEST * mask.size) | (inside > sizes / 2)
    fill[0] = False
    filled: Mask = mask | fill[labels]
    return filled


def largest_components(mask: Mask) -> Mask:
    """Keep the largest connected component and all that cover a visible share of the image."""
    labels = measure.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept: Mask = (sizes >= min(max(1, SMALLEST * mask.size), sizes.max()))[labels] & mask
    return kept
