"""What a layout says about an image."""

from dataclasses import dataclass

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
