"""Packing: each category is decoded, resized and stored once, as arrays that training and inference map into memory."""

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from tfcore.data import images
from tfcore.data.layouts import Sample, find_category, foreground_of
from tfcore.data.manifest import FOREGROUND, Entry, read_hashed, read_manifest
from tfcore.runs.stages import PACK_VERSION, foreground_source
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import replacing_folder, sha256_of, write_csv, write_json, writing
from tfcore.runtime.parallel import run_all
from tfcore.settings.sections import DatasetSettings, TextureSettings


def pack(
    dataset: str,
    category: str,
    raw: Path | str,
    dataset_settings: DatasetSettings,
    settings: Mapping[str, Any],
    manifest: Path | str,
    out: Path | str,
    workers: int | None = None,
) -> None:
    """Write a category's images, masks, foregrounds, ``index.csv`` and ``pack.json`` into the folder ``out``.

    ``settings`` has ``resize``, the side in pixels; ``workers`` are threads, ``None`` for one per core. Raises
    `UserError` that names the file when an image is corrupt, differs from the manifest, or lacks its mask.
    """
    found = find_category(raw, category, dataset_settings)
    train = [sample for sample in found.samples if sample.split == "train"]
    test = [sample for sample in found.samples if sample.split == "test"]
    _check_complete(category, train, test)
    entries = read_manifest(manifest)
    _check_listed(entries, found.samples, manifest)
    size, foreground = int(settings["resize"]), foreground_source(dataset_settings, category)

    def read(path: Path, name: str) -> bytes:
        """Read a file whole and compare it with the manifest, so that a pack is what its manifest says."""
        content, sha256 = read_hashed(path)
        if name not in entries or entries[name].sha256 != sha256:
            state = "differs from" if name in entries else "not in"
            raise UserError(f"{path}: {state} the manifest {manifest}; run check-data again")
        return content

    with writing(f"packing {dataset}/{category}"), replacing_folder(out) as folder:
        pixels = _array(folder / "images.npy", (len(found.samples), size, size, 3))
        nearest = _array(folder / "masks_nearest.npy", (len(test), size, size))
        antialiased = _array(folder / "masks_antialiased.npy", (len(test), size, size))
        foregrounds = _array(folder / "foregrounds.npy", (len(train), size, size))

        def pack_one(number: int) -> None:
            sample = found.samples[number]
            path = found.root / sample.file
            image = images.read_image(path, read(path, sample.file))
            pixels[number] = images.resize_image(image, size)
            if sample.split == "train":
                foregrounds[number] = foreground_in(sample, pixels[number])
            elif sample.mask is not None:
                path = found.root / sample.mask
                mask = images.read_mask(path, read(path, sample.mask))
                if mask.shape != image.shape[:2]:
                    raise UserError(
                        f"{path}: {mask.shape[1]} × {mask.shape[0]}, its image {image.shape[1]} × {image.shape[0]}"
                    )
                nearest[number - len(train)] = images.resize_mask_nearest(mask, size)
                antialiased[number - len(train)] = images.resize_mask_antialiased(mask, size)

        def foreground_in(sample: Sample, image: NDArray[np.uint8]) -> NDArray[Any] | int:
            if foreground == "everywhere":
                return 1
            if foreground == "found":
                from tfcore.data.foreground import foreground_mask

                return foreground_mask(image)
            name = foreground_of(sample)
            path = Path(str(dataset_settings.foregrounds)) / name
            return images.resize_mask_nearest(images.read_mask(path, read(path, f"{FOREGROUND}/{name}")), size)

        run_all(pack_one, range(len(found.samples)), f"pack {dataset}/{category}", workers)
        for array in (pixels, nearest, antialiased, foregrounds):
            array.flush()
        rows = ((sample.file, sample.split, sample.label, sample.defect) for sample in found.samples)
        write_csv(folder / "index.csv", ("file", "split", "label", "defect"), rows)
        anomalous = sum(sample.label for sample in test)
        about = {
            "dataset": dataset,
            "category": category,
            "version": PACK_VERSION,
            "size": size,
            "counts": {"train": len(train), "good": len(test) - anomalous, "anomalous": anomalous},
            "sha256": {path.name: sha256_of(path) for path in sorted(folder.glob("*.npy"))},
            "manifest_sha256": sha256_of(manifest),
            "foreground": foreground,
        }
        write_json(folder / "pack.json", about)


def pack_textures(raw: Path | str, settings: TextureSettings, out: Path | str) -> None:
    """Write all images below ``raw``, resized to ``settings.size``, as ``images.npy`` and ``pack.json`` into ``out``.

    With ``settings.limit``, images evenly spaced in the order of their names. Raises `UserError` if there are none.
    """
    files = images.pictures_below(Path(raw))
    if not files:
        raise UserError(f"{raw}: no images below it; check `textures.local`, or fetch the textures first")
    if settings.limit is not None and settings.limit < len(files):
        files = [files[number * len(files) // settings.limit] for number in range(settings.limit)]
    count, size = len(files), settings.size
    with writing("packing textures"), replacing_folder(out) as folder:
        pixels = _array(folder / "images.npy", (count, size, size, 3))

        def pack_one(number: int) -> None:
            pixels[number] = images.resize_image(images.read_image(files[number]), size)

        run_all(pack_one, range(count), "pack textures")
        pixels.flush()
        about = {"version": PACK_VERSION, "count": count, "size": size, "sha256": sha256_of(folder / "images.npy")}
        write_json(folder / "pack.json", about)


def _check_complete(category: str, train: list[Sample], test: list[Sample]) -> None:
    if not train or not test:
        raise UserError(f"{category}: no {'training' if not train else 'test'} images; run check-data")
    missing = [sample.file for sample in test if sample.label and sample.mask is None]
    if missing:
        raise UserError(f"{missing[0]}: its mask is missing ({len(missing)} in this category); run check-data")


def _check_listed(entries: dict[str, Entry], samples: Iterable[Sample], manifest: Path | str) -> None:
    """Refuse a category that lacks files of its manifest; files that it lacks are refused when they are read."""
    present = {name for sample in samples for name in (sample.file, sample.mask)}
    for name, entry in entries.items():
        if name not in present and entry.split != FOREGROUND:
            raise UserError(f"{name}: in the manifest {manifest}, but missing here; fetch the data set again")


def _array(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    """Return a new array in a file whose whole size is reserved.

    Writing to the map of a sparse file would kill the process when the disk is full.
    """
    array: np.memmap[Any, np.dtype[np.uint8]] = open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):  # the file system cannot
                    raise
    return array
