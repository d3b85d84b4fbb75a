"""Packing: each category is decoded, resized and stored once, as arrays that training and inference map into memory."""

import csv
import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from tfcore.data import images
from tfcore.data.layouts import Sample, find_category, foreground_of
from tfcore.data.manifest import FOREGROUND, Entry, read_manifest
from tfcore.runs.stages import PACK_VERSION, foreground_source
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import replacing_folder, sha256_of, write_json, writing
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
    size = int(settings["resize"])
    read = _Reader(found.root, entries, manifest)
    with writing(f"packing {dataset}/{category}"), replacing_folder(out) as folder:
        pixels = _array(folder / "images.npy", (len(found.samples), size, size, 3))
        nearest = _array(folder / "masks_nearest.npy", (len(test), size, size))
        antialiased = _array(folder / "masks_antialiased.npy", (len(test), size, size))
        foregrounds = _array(folder / "foregrounds.npy", (len(train), size, size))
        foreground = _foreground(category, dataset_settings, size, read)

        def pack_one(item: tuple[int, Sample]) -> None:
            number, sample = item
            image = images.read_image(found.root / sample.file, read(sample.file))
            pixels[number] = images.resize_image(image, size)
            if sample.split == "train":
                foregrounds[number] = foreground(sample, pixels[number])
            elif sample.mask is not None:
                mask = images.read_mask(found.root / sample.mask, read(sample.mask))
                if mask.shape != image.shape[:2]:
                    raise UserError(
                        f"{found.root / sample.mask}: {mask.shape[1]} × {mask.shape[0]}, "
                        f"its image {image.shape[1]} × {image.shape[0]}"
                    )
                nearest[number - len(train)] = images.resize_mask_nearest(mask, size)
                antialiased[number - len(train)] = images.resize_mask_antialiased(mask, size)

        run_all(pack_one, list(enumerate(found.samples)), f"pack {dataset}/{category}", workers)
        arrays = [pixels, nearest, antialiased, foregrounds]
        for array in arrays:
            array.flush()
        _write_index(folder / "index.csv", found.samples)
        anomalous = sum(sample.label for sample in test)
        about = {
            "dataset": dataset,
            "category": category,
            "version": PACK_VERSION,
            "size": size,
            "counts": {"train": len(train), "good": len(test) - anomalous, "anomalous": anomalous},
            "sha256": {path.name: sha256_of(path) for path in sorted(folder.glob("*.npy"))},
            "manifest_sha256": sha256_of(manifest),
            "foreground": foreground_source(dataset_settings, category),
        }
        write_json(folder / "pack.json", about)


def pack_textures(raw: Path | str, settings: TextureSettings, out: Path | str, workers: int | None = None) -> None:
    """Write all images below ``raw``, resized to ``settings.size``, as ``images.npy`` and ``pack.json`` into ``out``.

    With ``settings.limit``, images evenly spaced in the order of their names. Raises `UserError` if there are none.
    """
    raw = Path(raw)
    files = images.pictures_below(raw)
    if not files:
        raise UserError(f"{raw}: no images below it; check `textures.local`, or fetch the textures first")
    if settings.limit is not None and settings.limit < len(files):
        files = [files[number * len(files) // settings.limit] for number in range(settings.limit)]
    with writing("packing textures"), replacing_folder(out) as folder:
        pixels = _array(folder / "images.npy", (len(files), settings.size, settings.size, 3))

        def pack_one(item: tuple[int, Path]) -> None:
            number, path = item
            pixels[number] = images.resize_image(images.read_image(path), settings.size)

        run_all(pack_one, list(enumerate(files)), "pack textures", workers)
        pixels.flush()
        about = {
            "version": PACK_VERSION,
            "count": len(files),
            "size": settings.size,
            "sha256": sha256_of(folder / "images.npy"),
        }
        write_json(folder / "pack.json", about)


class _Reader:
    """Reads files whole and compares them with the manifest, so that a pack is what its manifest says."""

    def __init__(self, root: Path, entries: dict[str, Entry], manifest: Path | str) -> None:
        self.root, self.entries, self.manifest = root, entries, manifest

    def __call__(self, name: str, root: Path | None = None, kind: str = "") -> bytes:
        path = (root or self.root) / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        entry = self.entries.get(kind + name)
        if entry is None or entry.sha256 != hashlib.sha256(content).hexdigest():
            state = "not in" if entry is None else "differs from"
            raise UserError(f"{path}: {state} the manifest {self.manifest}; run check-data again")
        return content


def _check_complete(category: str, train: Iterable[Sample], test: Iterable[Sample]) -> None:
    train, test = list(train), list(test)
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


def _foreground(
    category: str, settings: DatasetSettings, size: int, read: _Reader
) -> Callable[[Sample, NDArray[np.uint8]], NDArray[Any] | int]:
    """Return the function that gives a training image's foreground: all of it, from a file, or computed."""
    if category in settings.textures:
        return lambda sample, image: 1
    if settings.foregrounds is not None:
        folder = Path(settings.foregrounds)

        def from_file(sample: Sample, image: NDArray[np.uint8]) -> NDArray[Any]:
            name = foreground_of(sample)
            mask = images.read_mask(folder / name, read(name, folder, f"{FOREGROUND}/"))
            return images.resize_mask_nearest(mask, size)

        return from_file
    from tfcore.data.foreground import foreground_mask

    return lambda sample, image: foreground_mask(image)


def _array(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    array: np.memmap[Any, np.dtype[np.uint8]] = open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    _allocate(path)
    return array


def _allocate(path: Path) -> None:
    """Reserve the file's whole size: writing to the map of a sparse file kills the process when the disk is full."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):  # the file system cannot
                raise


def _write_index(path: Path, samples: Iterable[Sample]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "split", "label", "defect"])
        writer.writerows([sample.file, sample.split, sample.label, sample.defect] for sample in samples)
