"""Scores of people's own pictures: anomaly map, overlay and image score, from a checkpoint alone."""

from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from tfcore.data.images import SUFFIXES, centre_crop, pictures_below, read_image, resize_image
from tfcore.methods.transfusion.infer import Model, maps_of
from tfcore.metrics.maps import final_maps
from tfcore.runtime.device import explained
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import replacing, write_json
from tfcore.settings.sections import HardwareSettings, ScoreSettings

SCORE = ScoreSettings()  # λ of Eq. 10 and the filter of Eq. 11, as in the paper


def predict(
    checkpoint: Path,
    images: list[Path],
    out: Path,
    hardware: HardwareSettings,
    lambda_: float = SCORE.lambda_,
    kernel: int = SCORE.kernel,
) -> dict[str, float]:
    """Score pictures of any size and mode; return the image score of each, the maximum of its map (Eq. 11).

    ``images`` are files or folders of files. Writes ``{name}_map.png`` (16-bit grey, 65535 = 1), ``{name}_overlay.png``
    and ``scores.json`` into ``out``; maps are as large as the network's input. Raises `UserError` naming the file that
    cannot be read.
    """
    with explained(f"prediction with {checkpoint}"):
        files = list(picture_files(images, out).items())
        model = Model(checkpoint, "auto", hardware)
        scores: dict[str, float] = {}
        for first in range(0, len(files), hardware.infer_batch):
            part = files[first : first + hardware.infer_batch]
            inputs = np.concatenate([as_trained(file, model) for _, file in part])
            batch = torch.from_numpy(inputs).to(model.device)
            found = {name: tensor.cpu().numpy() for name, tensor in maps_of(batch, model.reverse(batch)).items()}
            maps = final_maps(found["disc"], found["recon"], lambda_, kernel)
            for (name, _), picture, anomaly_map in zip(part, inputs, maps, strict=True):
                write_pictures(out / name, picture, anomaly_map)
                scores[name] = float(anomaly_map.max())
        write_json(out / "scores.json", {"checkpoint": model.run, "scores": scores})
        return scores


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


def as_trained(file: Path, model: Model) -> NDArray[np.uint8]:
    """Return a picture as uint8 (1, H, W, 3): resized to the square that the network was trained on, then cropped."""
    picture = resize_image(read_image(file), model.settings.data.resize)
    cropped: NDArray[np.uint8] = centre_crop(picture[None], model.settings.crop)
    return cropped


def write_pictures(stem: Path, picture: NDArray[np.uint8], anomaly_map: NDArray[np.float32]) -> None:
    """Write the map as 16-bit grey PNG and over the picture (H, W, 3) in colour, both on the scale 0 to 1."""
    clipped = anomaly_map.clip(0, 1)
    colours = (255 * colormaps["inferno"](clipped)[..., :3]).astype(np.uint8)
    overlay = np.where(clipped[..., None] > 0.02, picture // 2 + colours // 2, picture)
    for kind, array in (("map", (65535 * clipped).round().astype(np.uint16)), ("overlay", overlay)):
        with replacing(stem.with_name(f"{stem.name}_{kind}.png")) as temporary:
            Image.fromarray(array).save(temporary)
