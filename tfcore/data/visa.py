"""Official layout of VisA: images and masks below ``<category>/Data``, splits and labels in ``split_csv/1cls.csv``."""

import csv
from pathlib import Path

from tfcore.data.images import pictures_below
from tfcore.data.samples import GOOD, Sample
from tfcore.runtime.errors import UserError

SPLIT = Path("split_csv") / "1cls.csv"
COLUMNS = {"object", "split", "label", "image", "mask"}


def is_official(root: Path, category: str) -> bool:
    """Tell whether the category's folder has this layout."""
    if not (root / category / "Data" / "Images").is_dir():
        return False
    if not (root / SPLIT).is_file():
        raise UserError(f"{root / SPLIT}: missing; the one-class split is part of the official archive")
    return True


def find(root: Path, category: str) -> tuple[list[Sample], list[str]]:
    """Return the samples that the split file lists for the category, and the masks that belong to no image."""
    with (root / SPLIT).open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not set(reader.fieldnames or []) >= COLUMNS:
            raise UserError(f"{root / SPLIT}: expected the columns {', '.join(sorted(COLUMNS))}")
        rows = [row for row in reader if row["object"] == category]
    if not rows:
        raise UserError(f"{root / SPLIT}: no rows of the category '{category}'")
    samples = [_sample(row, root) for row in rows]
    masks = root / category / "Data" / "Masks"
    every = {path.relative_to(root).as_posix() for path in pictures_below(masks)}
    return samples, sorted(every - {sample.mask for sample in samples})


def _sample(row: dict[str, str], root: Path) -> Sample:
    if row["split"] not in ("train", "test") or row["label"] not in ("normal", "anomaly"):
        raise UserError(f"{root / SPLIT}: {row['image']}: split must be train or test, label normal or anomaly")
    label = int(row["label"] == "anomaly")
    if label and row["split"] == "train":
        raise UserError(f"{root / SPLIT}: {row['image']}: an anomaly in the training split")
    mask = row["mask"] if label and row["mask"] and (root / row["mask"]).is_file() else None
    return Sample(row["image"], row["split"], label, "anomaly" if label else GOOD, mask)
