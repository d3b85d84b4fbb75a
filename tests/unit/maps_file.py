"""A small maps file of a made-up run, as inference writes it."""

import json

import numpy as np
from safetensors.numpy import save_file
from scipy import ndimage


def made_up_maps(path, count=30, size=24, seed=0, dtype=np.float32, category="cap", run_seed=0):
    """Write blurred noise with brighter defects; return the arrays."""
    rng = np.random.default_rng(seed)
    label = (np.arange(count) >= count // 3).astype(np.uint8)
    nearest = np.zeros((count, size, size), dtype=np.uint8)
    for index in np.flatnonzero(label):
        row, column = rng.integers(0, size - 6, 2)
        nearest[index, row : row + 4, column : column + 5] = 1
    logits = ndimage.gaussian_filter(rng.standard_normal(nearest.shape), (0, 2, 2)) * 8 - 2
    logits += ndimage.gaussian_filter(nearest * 6.0, (0, 1, 1))
    disc = 1 / (1 + np.exp(-logits))
    recon = rng.gamma(0.5, 0.02, nearest.shape) + 0.05 * nearest * rng.random(nearest.shape)
    arrays = {
        "disc": disc.astype(dtype),
        "recon": recon.astype(dtype),
        "last": (disc**2).astype(dtype),
        "mask_nearest": nearest,
        "mask_antialiased": ndimage.binary_dilation(nearest, np.ones((1, 3, 3))).astype(np.uint8),
        "label": label,
    }
    run = {"method": "transfusion", "dataset": "demo", "category": category, "variant": "full", "seed": run_seed}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, path, metadata=header_of(label, run))
    return arrays


def header_of(label, run):
    """Return the header of a maps file with these labels."""
    defects = ["crack" if anomalous else "good" for anomalous in label]
    files = [f"test/{defect}/{index:03}.png" for index, defect in enumerate(defects)]
    texts = {"run": json.dumps(run), "files": json.dumps(files), "defects": json.dumps(defects)}
    return texts | {"device": "made up", "commit": "c0ffee"}
