"""What the rule for resizing ground truth does to AUPRO: the same maps, the same full-size masks, two rules.

The maps are made up: the antialiased full-size mask, blurred, over smooth noise. Only the masks are real.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tfcore.data.images import centre_crop, read_mask, resize_mask_antialiased, resize_mask_nearest
from tfcore.metrics.aupro import aupro

Array = NDArray[Any]


def run(folder: Path, size: int = 256, crop: int = 224) -> dict[str, tuple[float, float]]:
    """Print anomalous pixels, regions and AUPRO, in per cent, by rule, for all masks (PNG) below ``folder``."""
    full = [read_mask(file) for file in sorted(folder.rglob("*.png"))]
    smooth = np.stack([_smooth(mask, size) for mask in full])
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(smooth.shape), (0, 3, 3))
    maps = centre_crop(4 * ndimage.uniform_filter(smooth, (0, 7, 7)) + noise / noise.std(), crop)
    results = {}
    print(f"{len(full)} masks, {size} px, centre crop {crop}")
    for name, rule in (("nearest", resize_mask_nearest), ("antialiased", resize_mask_antialiased)):
        masks = centre_crop(np.stack([rule(mask, size) for mask in full]), crop) != 0
        regions = sum(ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks)
        results[name] = (100 * float(masks.mean()), 100 * aupro(maps, masks))
        print(f"{name}: {results[name][0]:.3f} % of pixels, {regions} regions, AUPRO {results[name][1]:.2f}")
    return results


def _smooth(mask: Array, size: int) -> Array:
    image = Image.fromarray(mask.astype(np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
