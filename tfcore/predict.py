"""Scores of people's own pictures: anomaly map, overlay and image score, from a checkpoint alone."""

from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from tfcore.data.images import SUFFIXES, centre_crop, pictures_below, read_image, resize_image
from tfcore.methods.infer import Loaded
from tfcore.runs.stages import method_of, stage_settings
from tfcore.runtime.device import explained
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import replacing, write_json
from tfcore.settings.sections import HardwareSettings
from tfcore.settings.variants import Settings


def predict(
    checkpoint: Path, images: list[Path], out: Path, settings: Settings, hardware: HardwareSettings
) -> dict[str, float]:
    """Score pictures of any size and mode; return the image score of each, as the method of the checkpoint scores.

    ``images`` are files or folders of files. ``settings`` say how the checkpoint's variant is scored. Writes
    ``{name}_map.png`` (16-bit grey, 65535 = 1), ``{name}_overlay.png`` and ``scores.json`` into ``out``; maps are as
    large as the model's input. Raises `UserError` naming the file that cannot be read.
    """
    with explained(f"prediction with {checkpoint}"):
        files = list(picture_files(images, out).items())
        loaded = Loaded.read(checkpoint, hardware)
        score = stage_settings(settings, "score", scored_variant(loaded, settings))
        scores: dict[str, float] = {}
        for first in range(0, len(files), hardware.infer_batch):
            part = files[first : first + hardware.infer_batch]
            inputs = np.concatenate([as_trained(file, loaded) for _, file in part])
            batch = torch.from_numpy(inputs).to(loaded.device)
            found = {name: tensor.cpu().numpy() for name, tensor in loaded.model.maps(batch).items()}
            maps = loaded.method.final_maps(found, score)
            rows = zip(part, inputs, maps, loaded.method.image_scores(found, maps).tolist(), strict=True)
            for (name, _), picture, anomaly_map, scored in rows:
                write_pictures(out / name, picture, anomaly_map)
                scores[name] = scored
        write_json(out / "scores.json", {"checkpoint": loaded.checkpoint.run, "scores": scores})
        return scores


def scored_variant(loaded: Loaded, settings: Settings) -> str:
    """Return the variant whose scoring a checkpoint takes: its own, else (converted weights) the baseline's."""
    variant = str(loaded.checkpoint.run["variant"])
    known = variant in settings.variants and method_of(settings, variant).name == loaded.method.name
    return variant if known else settings.tables.baseline


def picture_files(images: list[Path], out: Path) -> dict[str, Path]:
    """Return the picture files by the name of their results: the path below the folder given, without its suffix."""
    found: dict[str, Path] = {}
    for path in images:
        below = input_files(path, out) if path.is_dir() else [path]
        if not below:
            raise UserError(f"{path}: no pictures in this folder (known: {', '.join(sorted(SUFFIXES))})")
        for file in below:
            name = str((file.relative_to(path) if path.is_dir() else Path(file.name)).with_suffix(""))
            if name in found:
                raise UserError(f"{file} and {found[name]} would have the same name in the results: run them apart")
            found[name] = file
    return found


def input_files(folder: Path, out: Path) -> list[Path]:
    """Return the pictures below a folder, without what an earlier prediction has written into ``out`` below it."""
    if out.resolve() == folder.resolve():
        raise UserError(f"{out}: holds the pictures; give another folder for the results")
    return [file for file in pictures_below(folder) if not file.resolve().is_relative_to(out.resolve())]


def as_trained(file: Path, loaded: Loaded) -> NDArray[np.uint8]:
    """Return a picture as uint8 (1, H, W, 3): resized to the square that the model was trained on, then cropped."""
    picture = resize_image(read_image(file), loaded.data.resize)
    cropped: NDArray[np.uint8] = centre_crop(picture[None], loaded.crop)
    return cropped


def write_pictures(stem: Path, picture: NDArray[np.uint8], anomaly_map: NDArray[np.float32]) -> None:
    """Write the map as 16-bit grey PNG and over the picture (H, W, 3) in colour, both on the scale 0 to 1."""
    clipped = anomaly_map.clip(0, 1)
    colours = (255 * colormaps["inferno"](clipped)[..., :3]).astype(np.uint8)
    overlay = np.where(clipped[..., None] > 0.02, picture // 2 + colours // 2, picture)
    for kind, array in (("map", (65535 * clipped).round().astype(np.uint16)), ("overlay", overlay)):
        with replacing(stem.with_name(f"{stem.name}_{kind}.png")) as temporary:
            Image.fromarray(array).save(temporary)
