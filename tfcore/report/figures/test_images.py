"""Test images of a run with their maps, scores and ground truth, and the rules by which figures choose among them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from tfcore.data.packed import Packed
from tfcore.metrics.maps import final_maps, image_scores, read_maps
from tfcore.runs.run import Run, packed_folder, shared_run, stage_settings
from tfcore.runtime.errors import UserError
from tfcore.settings.sections import Settings

Pixels = NDArray[np.uint8]
Choice = tuple[int, str]  # row of a test image, and by which rule it was chosen


@dataclass(frozen=True)
class Tile:
    """One test image for a figure: pictures (H, W, 3), its map and its truth (H, W); ``image`` may not be here."""

    run: Run
    file: str
    defect: str
    chosen: str  # by which rule
    score: float
    rank: int  # 1 = the highest score of the category
    of: int
    image: Pixels | None
    reconstruction: Pixels
    final: NDArray[np.float32]
    truth: NDArray[np.bool_]


@dataclass(frozen=True)
class Samples:
    """Test images of a run: ``final`` (N, H, W) is the map of Eq. 11; ``images`` is ``None`` without packed data."""

    run: Run
    final: NDArray[np.float32]
    scores: NDArray[Any]
    labels: Pixels
    masks: NDArray[np.bool_]
    reconstructions: Pixels
    images: Pixels | None
    files: list[str]
    defects: list[str]

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

    def rank(self, index: int) -> int:
        """Return an image's place by falling score: 1 = the highest; equal scores share a rank."""
        return int((self.scores > self.scores[index]).sum()) + 1

    def tile(self, index: int, chosen: str) -> Tile:
        """Copy what a figure shows of one image, so that the category's arrays can be let go."""
        score = float(self.scores[index])
        return Tile(
            run=self.run,
            file=self.files[index],
            defect=self.defects[index],
            chosen=chosen,
            score=score,
            rank=self.rank(index),
            of=len(self.scores),
            image=None if self.images is None else np.array(self.images[index]),
            reconstruction=self.reconstructions[index].copy(),
            final=self.final[index].copy(),
            truth=self.masks[index].copy(),
        )


def _at(ranked: list[int], quantile: float) -> int:
    return ranked[round(quantile * (len(ranked) - 1))]


def maps_file(settings: Settings, run: Run) -> Path:
    """Return where the maps of a run are; variants that infer alike share them."""
    return shared_run(settings, "infer", run).maps


def read_samples(run: Run, settings: Settings, root: Path = Path()) -> Samples | None:
    """Return the samples of a run below ``root``, or ``None`` while its maps are not there."""
    file = root / maps_file(settings, run)
    if not file.exists():
        return None
    score = stage_settings(settings, "score", run.variant)["score"]
    maps = read_maps(file, score["mask_rule"])
    final = final_maps(maps.disc, maps.recon, score["lambda"], score["kernel"])
    with safe_open(file, framework="numpy") as tensors:
        reconstructions = tensors.get_tensor("reconstruction")
    names, defects = ([str(each) for each in maps.header[key]] for key in ("files", "defects"))
    images = _images(root / packed_folder(run.dataset, run.category), len(names), final.shape[1])
    return Samples(run, final, image_scores(final), maps.labels, maps.masks, reconstructions, images, names, defects)


def _images(packed: Path, count: int, side: int) -> Pixels | None:
    """Return the test images as the network saw them, or ``None`` where the packed data are not there."""
    try:
        images = Packed(packed).test_images(side)
    except (OSError, UserError):
        return None
    return images if len(images) == count else None
