"""Reading packed categories and textures: arrays are memory-mapped, so opening one costs nothing."""

import csv
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tfcore.data.images import centre_crop
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import read_json

MaskRule = Literal["nearest", "antialiased"]


class Packed:
    """A packed category. Images are uint8 RGB; ``crop`` is the side of the centre crop, ``None`` for all of it.

    Raises `UserError` when the folder is missing, or its arrays do not have the sizes that ``pack.json`` says.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.about: dict[str, Any] = _about(self.folder, "dataset", "category", "size", "counts")
        self.dataset: str = self.about["dataset"]
        self.category: str = self.about["category"]
        self.size: int = self.about["size"]
        counts = self.about["counts"]
        self.train_count: int = counts["train"]
        self.test_count: int = counts["good"] + counts["anomalous"]

    def train_images(self, crop: int | None = None) -> NDArray[np.uint8]:
        """Return the normal training images (N_train, S, S, 3)."""
        return self._cropped("images", crop)[: self.train_count]

    def test_images(self, crop: int | None = None) -> NDArray[np.uint8]:
        """Return the test images (N_test, S, S, 3)."""
        return self._cropped("images", crop)[self.train_count :]

    def masks(self, rule: MaskRule, crop: int | None = None) -> NDArray[np.uint8]:
        """Return the ground truth of the test images (N_test, S, S), 0 or 1, resized by ``rule``."""
        return self._cropped(f"masks_{rule}", crop)

    def foregrounds(self, crop: int | None = None) -> NDArray[np.uint8]:
        """Return where the object is in the training images (N_train, S, S), 0 or 1."""
        return self._cropped("foregrounds", crop)

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Labels of the test images (N_test), 1 for anomalous."""
        return np.array([row["label"] == "1" for row in self._test], dtype=np.uint8)

    @property
    def files(self) -> list[str]:
        """File names of the test images."""
        return [row["file"] for row in self._test]

    @property
    def defects(self) -> list[str]:
        """Defects of the test images; ``good`` for normal ones."""
        return [row["defect"] for row in self._test]

    @cached_property
    def _test(self) -> list[dict[str, str]]:
        path, names = self.folder / "index.csv", {"file", "split", "label", "defect"}
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file, strict=True))
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{path}: missing or damaged; pack the category again") from error
        whole = all(set(row) == names and row["label"] in ("0", "1") and row["defect"] is not None for row in rows)
        if not whole or len(rows) != self.train_count + self.test_count:
            raise UserError(f"{path}: not the rows that pack.json says; pack the category again")
        return rows[self.train_count :]

    def _cropped(self, name: str, crop: int | None) -> NDArray[np.uint8]:
        count = {"images": self.train_count + self.test_count, "foregrounds": self.train_count}
        array = _mapped(self.folder / f"{name}.npy", count.get(name, self.test_count), self.size)
        return array if crop is None else centre_crop(array, crop)


def about_textures(folder: Path | str) -> dict[str, Any]:
    """Return what ``pack.json`` says of the packed textures: count, size and the sha256 of their pixels."""
    return _about(Path(folder), "count", "size")


def packed_textures(folder: Path | str) -> NDArray[np.uint8]:
    """Return the packed textures (N, S, S, 3), RGB."""
    about = about_textures(folder)
    return _mapped(Path(folder) / "images.npy", about["count"], about["size"])


def _about(folder: Path, *keys: str) -> dict[str, Any]:
    try:
        about: dict[str, Any] = read_json(folder / "pack.json")
    except OSError as error:
        raise UserError(f"{folder}: not packed yet (no pack.json); run the pack step") from error
    except ValueError as error:
        raise UserError(f"{folder / 'pack.json'}: not valid JSON; pack again") from error
    missing = [key for key in keys if not isinstance(about, dict) or key not in about]
    if missing:
        raise UserError(f"{folder / 'pack.json'}: lacks {', '.join(missing)}; pack again")
    return about


def _mapped(path: Path, count: int, size: int) -> NDArray[np.uint8]:
    try:
        array: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: missing or damaged; pack again") from error
    if array.shape[:3] != (count, size, size) or array.dtype != np.uint8:
        raise UserError(f"{path}: shape {array.shape} of {array.dtype} is not what pack.json says; pack again")
    return array
