"""Test images of a run with their maps, scores and ground truth, and the rules by which figures choose among them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tfcore.data.packed import Packed
from tfcore.methods.registry import method_named
from tfcore.metrics.maps import MapsFile
from tfcore.report.figures.style import Pixels
from tfcore.runs.run import Run
from tfcore.runs.stages import method_of, shared_run, stage_settings
from tfcore.runtime.errors import UserError
from tfcore.settings.variants import Settings

Choice = tuple[int, str]  # row of a test image, and by which rule it was chosen


@dataclass(frozen=True)
class Picked:
    """A test image that a figure shows, and its score."""

    run: Run
    file: str
    defect: str
    anomalous: bool
    chosen: str  # by which rule
    score: float
    rank: int  # 1 = the highest score of the category; equal scores share a rank
    of: int


@dataclass(frozen=True)
class Tile(Picked):
    """Its pictures (H, W, 3), its anomaly map and its truth (H, W).

    ``image`` is None without packed data, ``reconstruction`` where the method makes none.
    """

    image: Pixels | None
    reconstruction: Pixels | None
    final: NDArray[np.float32]
    truth: NDArray[np.bool_]


@dataclass(frozen=True)
class Samples:
    """The test images of a run as scoring left them (``images.csv``); maps and pictures are read of those chosen."""

    run: Run
    settings: Settings
    root: Path
    files: list[str]
    defects: list[str]
    labels: Pixels
    scores: NDArray[np.float64]

    def typical(self, count: int) -> list[Choice]:
        """Choose anomalous images at evenly spaced quantiles of the score, from low to high; one: the median."""
        members = self._by_score(self.labels == 1)
        if not members:
            return []
        quantiles = np.linspace(0, 1, count + 2)[1:-1]
        return list({_at(members, each): f"quantile {each:.2f}" for each in quantiles}.items())

    def of_each_kind(self, count: int) -> list[Choice]:
        """Choose ``count`` images: the median score of each defect and of the normal ones, then high and low ones."""
        defects = np.array(self.defects)
        anomalous = self.labels == 1
        groups = {
            str(kind): self._by_score(anomalous & (defects == kind)) for kind in dict.fromkeys(defects[anomalous])
        }
        groups["good"] = self._by_score(~anomalous)
        chosen: dict[int, str] = {}
        for quantile, word in ((0.5, "median"), (0.9, "high"), (0.1, "low")):
            for kind, members in groups.items():
                if members:
                    chosen.setdefault(_at(members, quantile), f"{kind}: {word} score of {len(members)}")
        return list(chosen.items())[:count]

    def worst(self, count: int = 1) -> list[Choice]:
        """Choose the ``count`` highest-scored normal and lowest-scored anomalous images, three of each at most."""
        places = ("", "second ", "third ")[:count]
        alarms, missed = self._by_score(self.labels == 0, highest_first=True), self._by_score(self.labels == 1)
        found = [(index, f"{place}highest-scored normal") for index, place in zip(alarms, places, strict=False)]
        found += [(index, f"{place}lowest-scored anomalous") for index, place in zip(missed, places, strict=False)]
        return found

    def _by_score(self, wanted: NDArray[np.bool_], highest_first: bool = False) -> list[int]:
        """Return the wanted images by rising score; of equal ones the first comes first."""
        members = np.flatnonzero(wanted)
        keys = -self.scores[members] if highest_first else self.scores[members]
        return [int(index) for index in members[np.argsort(keys, kind="stable")]]

    def tiles(self, choices: Sequence[Choice]) -> list[Tile]:
        """Read what a figure shows of some images."""
        rows = [row for row, _ in choices]
        stage = stage_settings(self.settings, "score", self.run.variant)
        maps = MapsFile(self.root / shared_run(self.settings, "infer", self.run).maps, rows)
        final = method_named(method_of(self.settings, self.run.variant).name).final_maps(maps, stage)
        truth = maps.masks(stage["score"]["mask_rule"])
        made = maps["reconstruction"] if "reconstruction" in maps else [None] * len(rows)
        images = _images(self.root / self.run.packed, len(self.files), final.shape[-1])
        return [
            Tile(
                self.run,
                self.files[row],
                self.defects[row],
                bool(self.labels[row]),
                chosen,
                float(self.scores[row]),
                int((self.scores > self.scores[row]).sum()) + 1,
                len(self.scores),
                None if images is None else np.array(images[row]),
                made[place],
                final[place],
                truth[place],
            )
            for place, (row, chosen) in enumerate(choices)
        ]


def _at(ranked: list[int], quantile: float) -> int:
    return ranked[round(quantile * (len(ranked) - 1))]


def read_samples(run: Run, settings: Settings, root: Path = Path()) -> Samples | None:
    """Return the test images of a run below ``root``, or ``None`` while its scores or its maps are not there."""
    try:
        with (root / run.images).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return None
    if not (root / shared_run(settings, "infer", run).maps).exists():
        return None
    files, defects = ([row[name] for row in rows] for name in ("file", "defect"))
    labels = np.array([int(row["label"]) for row in rows], dtype=np.uint8)
    return Samples(run, settings, root, files, defects, labels, np.array([float(row["score"]) for row in rows]))


def _images(packed: Path, count: int, side: int) -> Pixels | None:
    """Return the test images as the network saw them, or ``None`` where the packed data are not there."""
    try:
        images = Packed(packed).test_images(side)
    except (OSError, UserError):
        return None
    return images if len(images) == count else None
