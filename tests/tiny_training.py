"""A training that takes a second: random pictures of 16 pixels, a network of two resolutions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfcore.methods.registry import parse_settings
from tfcore.runs.run import Run
from tfcore.runs.stages import stage_settings
from tfcore.runtime.files import sha256_of
from tfcore.settings.loading import merge
from tfcore.settings.sections import HardwareSettings

SIZE, TRAIN, GOOD, BAD = 16, 10, 2, 3
RUN = Run("toy", "disc")
CPU = HardwareSettings(device="cpu", log_every=4, threads=1)

PARAMS: dict[str, Any] = {
    "run": {"datasets": ["toy"]},
    "datasets": {"toy": {"title": "Toy", "layout": "mvtec", "categories": ["disc"]}},
    "textures": {},
    "data": {"resize": SIZE, "crop": SIZE - 4},
    "model": {"width": 8, "groups": 4, "blocks": 1, "multipliers": [1, 2], "attention_levels": 1},
    "diffusion": {"steps": 4},
    "anomalies": {"perlin_exponents": [0, 2], "tiles": 2},
    "train": {"epochs": 5, "batch_size": 4, "learning_rate": 1e-3},
    "hardware": {"device": "cpu", "threads": 1},
}


def params(**changes: Any) -> dict[str, Any]:
    """Settings of the tiny training with some sections, or keys in them, changed."""
    return merge(PARAMS, changes)


def settings_of(stage: str = "train", **changes: Any) -> dict[str, Any]:
    """What a stage reads."""
    return stage_settings(parse_settings(params(**changes), "tiny"), stage)


def make_packed(folder: Path) -> tuple[Path, Path]:
    """Write a packed category and packed textures; return their folders."""
    rng = np.random.default_rng(0)
    count = TRAIN + GOOD + BAD
    packed = folder / "data/packed/toy/disc"
    packed.mkdir(parents=True)
    np.save(packed / "images.npy", rng.integers(90, 110, (count, SIZE, SIZE, 3), dtype=np.uint8))
    masks = np.zeros((GOOD + BAD, SIZE, SIZE), np.uint8)
    masks[GOOD:, 4:8, 5:9] = 1
    np.save(packed / "masks_nearest.npy", masks)
    np.save(packed / "masks_antialiased.npy", np.maximum(masks, np.roll(masks, 1, axis=1)))
    np.save(packed / "foregrounds.npy", np.ones((TRAIN, SIZE, SIZE), np.uint8))
    kinds = ["good"] * (TRAIN + GOOD) + ["stain"] * BAD
    index = {
        "file": [f"{i:03}.png" for i in range(count)],
        "split": ["train"] * TRAIN + ["test"] * (GOOD + BAD),
        "label": [int(kind != "good") for kind in kinds],
        "defect": kinds,
    }
    pd.DataFrame(index).to_csv(packed / "index.csv", index=False)
    counts = {"train": TRAIN, "good": GOOD, "anomalous": BAD}
    about = {"dataset": "toy", "category": "disc", "size": SIZE, "counts": counts, "foreground": "found"}
    manifest = folder / RUN.manifest
    manifest.parent.mkdir(parents=True)
    manifest.write_text("made up")
    about["manifest_sha256"] = sha256_of(manifest)
    (packed / "pack.json").write_text(json.dumps(about))
    textures = folder / "data/packed/textures"
    textures.mkdir(parents=True)
    np.save(textures / "images.npy", rng.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8))
    (textures / "pack.json").write_text(json.dumps({"count": 3, "size": SIZE}))
    return packed, textures
