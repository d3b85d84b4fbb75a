"""What a layout says about an image."""

from dataclasses import dataclass
from pathlib import Path

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One image of a category; paths are relative to the folder that holds the category's folder."""

    file: str
    split: str
    label: int
    defect: str
    mask: str | None
    """The mask's path for an anomalous test image; ``None`` for others, or where no mask was found."""


def foreground_of(sample: Sample) -> str:
    """Return the name of a training image's mask in the folder of precomputed foregrounds."""
    return f"{Path(sample.file).parts[0]}/{Path(sample.file).stem}.png"
