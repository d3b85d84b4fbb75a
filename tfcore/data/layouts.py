"""Where a category's images and masks lie, in the layouts in which the data sets are handed out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tfcore.data import mvtec, visa
from tfcore.data.images import is_hidden
from tfcore.data.samples import Sample
from tfcore.runtime.errors import UserError
from tfcore.settings.sections import DatasetSettings


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
    for root in roots(Path(folder)):
        if not (root / category).is_dir():
            continue
        if settings.layout == "visa" and visa.is_official(root, category):
            samples, stray = visa.find(root, category)
        elif mvtec.is_layout(root, category):
            samples, stray = mvtec.find(root, category)
        else:
            continue
        return CategoryFiles(root, sorted(samples, key=lambda s: (s.split != "train", s.file)), stray)
    raise UserError(_missing(Path(folder), category, settings.layout))


def roots(folder: Path) -> Iterator[Path]:
    """Yield the folders in which categories may lie."""
    yield folder
    for pattern in ("*", "*/*"):
        yield from sorted(p for p in folder.glob(pattern) if p.is_dir() and not is_hidden(p.relative_to(folder)))


def _missing(folder: Path, category: str, layout: str) -> str:
    if not folder.is_dir():
        return f"{folder}: no such folder; fetch the data set first"
    places = [root / category for root in roots(folder) if (root / category).is_dir()]
    if not places:
        return f"{folder}: no category folder '{category}'; list only the categories that you have in `categories`"
    expected = "train/good, test/<defect> and ground_truth/<defect>"
    if layout == "visa":
        expected = f"Data/Images, Data/Masks and ../split_csv/1cls.csv, or {expected}"
    return f"{places[0]}: not in the layout '{layout}': expected {expected}"
