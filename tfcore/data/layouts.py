"""Where a category's images and masks lie, in the layouts in which the data sets are handed out.

``mvtec`` is ``<category>/{train/good, test/<defect>, ground_truth/<defect>}``; converted copies of VisA have it too.
``visa`` has images and masks below ``<category>/Data``, splits and labels in ``split_csv/1cls.csv``.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tfcore.data.images import is_hidden, is_picture, pictures_below
from tfcore.runtime.errors import UserError
from tfcore.settings.sections import DatasetSettings

GOOD = "good"
SPLIT = Path("split_csv") / "1cls.csv"
COLUMNS = {"object", "split", "label", "image", "mask"}


@dataclass(frozen=True)
class Sample:
    """One image of a category; paths are relative to the folder that holds the category's folder."""

    file: str
    split: str
    label: int
    defect: str
    mask: str | None
    """The mask's path for an anomalous test image; ``None`` for others, or where no mask was found."""


@dataclass(frozen=True)
class CategoryFiles:
    """A category as found on disk: ``root`` holds the category's folder, samples are relative to it."""

    root: Path
    samples: list[Sample]
    stray_masks: list[str]


def find_category(folder: Path | str, category: str, settings: DatasetSettings) -> CategoryFiles:
    """List a category's images, training images first, each split sorted by file name.

    ``folder`` is what was extracted or given as ``local``; the category may lie up to two folders deeper, as archives
    often have a top folder, and converted copies of VisA a folder ``1cls``. Raises `UserError` if it is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; fetch the data set first")
    seen = []
    for root in chain([folder], _folders(folder, "*"), _folders(folder, "*/*")):
        base = root / category
        if not base.is_dir():
            continue
        seen.append(base)
        if settings.layout == "visa" and (base / "Data" / "Images").is_dir():
            samples, masks = _visa(root, category)
        elif (base / "train" / GOOD).is_dir() and (base / "test").is_dir():
            samples, masks = _mvtec(root, base)
        else:
            continue
        samples.sort(key=lambda sample: (sample.split != "train", sample.file))
        return CategoryFiles(root, samples, sorted(masks - {sample.mask for sample in samples}))
    if not seen:
        raise UserError(
            f"{folder}: no category folder '{category}'; list only the categories that you have in `categories`"
        )
    expected = "train/good, test/<defect> and ground_truth/<defect>"
    if settings.layout == "visa":
        expected = f"Data/Images, Data/Masks and ../split_csv/1cls.csv, or {expected}"
    raise UserError(f"{seen[0]}: not in the layout '{settings.layout}': expected {expected}")


def foreground_of(sample: Sample) -> str:
    """Return the name of a training image's mask in the folder of precomputed foregrounds."""
    return f"{Path(sample.file).parts[0]}/{Path(sample.file).stem}.png"


def _mvtec(root: Path, base: Path) -> tuple[list[Sample], set[str]]:
    """Return a category's samples and all its masks."""

    def names(folder: Path) -> list[str]:
        return [path.relative_to(root).as_posix() for path in sorted(folder.glob("*")) if is_picture(path)]

    samples = [Sample(name, "train", 0, GOOD, None) for name in names(base / "train" / GOOD)]
    for folder in _folders(base / "test", "*"):
        masks = {Path(mask).stem.removesuffix("_mask"): mask for mask in names(base / "ground_truth" / folder.name)}
        for name in names(folder):
            mask = None if folder.name == GOOD else masks.get(Path(name).stem)
            samples.append(Sample(name, "test", int(folder.name != GOOD), folder.name, mask))
    return samples, {mask for folder in _folders(base / "ground_truth", "*") for mask in names(folder)}


def _visa(root: Path, category: str) -> tuple[list[Sample], set[str]]:
    """Return the samples that the split file lists for a category, and all its masks."""
    split = root / SPLIT
    if not split.is_file():
        raise UserError(f"{split}: missing; the one-class split is part of the official archive")
    with split.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not set(reader.fieldnames or []) >= COLUMNS:
            raise UserError(f"{split}: expected the columns {', '.join(sorted(COLUMNS))}")
        samples = [_visa_sample(row, root) for row in reader if row["object"] == category]
    if not samples:
        raise UserError(f"{split}: no rows of the category '{category}'")
    masks = pictures_below(root / category / "Data" / "Masks")
    return samples, {path.relative_to(root).as_posix() for path in masks}


def _visa_sample(row: dict[str, str], root: Path) -> Sample:
    if row["split"] not in ("train", "test") or row["label"] not in ("normal", "anomaly"):
        raise UserError(f"{root / SPLIT}: {row['image']}: split must be train or test, label normal or anomaly")
    label = int(row["label"] == "anomaly")
    if label and row["split"] == "train":
        raise UserError(f"{root / SPLIT}: {row['image']}: an anomaly in the training split")
    mask = row["mask"] if label and row["mask"] and (root / row["mask"]).is_file() else None
    return Sample(row["image"], row["split"], label, "anomaly" if label else GOOD, mask)


def _folders(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the folders that match, sorted, but for hidden ones."""
    yield from sorted(p for p in folder.glob(pattern) if p.is_dir() and not is_hidden(p.relative_to(folder)))
