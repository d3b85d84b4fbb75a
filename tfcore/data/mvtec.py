"""Layout of MVTec AD: ``<category>/{train/good, test/<defect>, ground_truth/<defect>}``; converted VisA has it too."""

from pathlib import Path

from tfcore.data.images import is_hidden, is_picture
from tfcore.data.samples import GOOD, Sample


def is_layout(root: Path, category: str) -> bool:
    """Tell whether the category's folder has this layout."""
    return (root / category / "train" / GOOD).is_dir() and (root / category / "test").is_dir()


def find(root: Path, category: str) -> tuple[list[Sample], list[str]]:
    """Return the category's samples, and the masks that belong to no image."""
    base = root / category
    samples = [Sample(_name(path, root), "train", 0, GOOD, None) for path in _images(base / "train" / GOOD)]
    used: set[str] = set()
    for folder in sorted(
        path for path in (base / "test").iterdir() if path.is_dir() and not is_hidden(Path(path.name))
    ):
        masks = {path.stem.removesuffix("_mask"): _name(path, root) for path in _images(_masks(base, folder.name))}
        for path in _images(folder):
            mask = None if folder.name == GOOD else masks.get(path.stem)
            used |= {mask} if mask else set()
            samples.append(Sample(_name(path, root), "test", int(folder.name != GOOD), folder.name, mask))
    every = {_name(path, root) for folder in (base / "ground_truth").glob("*") for path in _images(folder)}
    return samples, sorted(every - used)


def _masks(base: Path, defect: str) -> Path:
    return base / "ground_truth" / defect


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if is_picture(path))


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
