"""Who a run is – dataset, category, variant, seed – and where every file of it lies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TEXTURES_FOLDER = Path("data/packed/textures")
"""Folder of the packed textures."""

METRICS, TIMING = Path("results/metrics.csv"), Path("results/timing.csv")
"""All scores, and the measured inference times."""


@dataclass(frozen=True)
class Run:
    """One training and what follows from it. All paths are relative to the working directory.

    The fields may be wildcards (`ANY`, `EVERY`): the paths are then the patterns of Snakemake's rules, or of a glob.
    """

    dataset: str
    category: str
    variant: str = "full"
    seed: int | str = 0

    @property
    def id(self) -> str:
        """Return ``dataset/category/variant/seedN``."""
        return f"{self.dataset}/{self.category}/{self.variant}/seed{self.seed}"

    @property
    def packed(self) -> Path:
        """Folder of the category's decoded images and masks."""
        return Path("data/packed") / self.dataset / self.category

    @property
    def manifest(self) -> Path:
        """List of the category's files with sizes, sha256, split and label; versioned in git; trainings depend on it.

        One file per category, so that a category added to a dataset leaves the results of the others alone.
        """
        return Path("data/manifests") / self.dataset / f"{self.category}.csv"

    @property
    def checkpoint(self) -> Path:
        """Weights of the last epoch, with the run's settings in the file's header."""
        return Path("results/checkpoints") / self.id / "model.safetensors"

    def checkpoint_at(self, epoch: int | str | None) -> Path:
        """Intermediate checkpoint of an epoch (``tables.checkpoint_epochs``); None = of the last."""
        return self.checkpoint if epoch is None else self.checkpoint.with_name(f"epoch{epoch}.safetensors")

    @property
    def losses(self) -> Path:
        """Loss terms over the training."""
        return self.checkpoint.with_name("log.csv")

    @property
    def maps(self) -> Path:
        """Anomaly maps, ground truth and, where there are any, reconstructions of the test images."""
        return Path("results/maps") / self.id / "maps.safetensors"

    def maps_at(self, epoch: int | str | None) -> Path:
        """Anomaly maps of an intermediate checkpoint; None = of the last epoch's."""
        return _at_epoch(self.maps, epoch)

    @property
    def scores(self) -> Path:
        """Metrics of the run, one row each."""
        return Path("results/metrics") / self.id / "scores.csv"

    def scores_at(self, epoch: int | str | None) -> Path:
        """Metrics of an intermediate checkpoint; None = of the last epoch's."""
        return _at_epoch(self.scores, epoch)

    @property
    def images(self) -> Path:
        """Score of every test image, beside the metrics."""
        return self.scores.with_name("images.csv")

    @property
    def sweep(self) -> Path:
        """Metrics at every sweep point."""
        return Path("results/metrics") / self.id / "sweep.csv"

    @property
    def trace(self) -> Path:
        """What the method did to one image, step by step."""
        return Path("results/trace") / f"{self.id}.safetensors"

    @property
    def work(self) -> Path:
        """Resume state; not an output, survives a failed job."""
        return Path("work") / self.id

    @property
    def lock(self) -> Path:
        """What a running training holds."""
        return self.work.with_name(f"{self.work.name}.lock")


ANY = Run("{dataset}", "{category}", "{variant}", "{seed}")
"""The run of Snakemake's wildcards."""

EVERY = Run("*", "*", "*", "*")


def record_of(file: Path) -> Path:
    """Return the record of what ``file`` was made from: ``run.json``; of scores and sweeps ``scores.json``, …"""
    return file.with_suffix(".json") if file.suffix == ".csv" else file.with_name("run.json")


def existing(file_of: Callable[[Run], Path], root: Path = Path()) -> Iterator[tuple[Run, Path]]:
    """Give every run below ``root`` that has a file, and the file: ``existing(lambda run: run.checkpoint)``."""
    pattern = file_of(EVERY)
    for file in sorted(root.glob(str(pattern))):
        pairs = zip(file.relative_to(root).parts, pattern.parts, strict=False)
        dataset, category, variant, seed = [found.removeprefix("seed") for found, part in pairs if "*" in part][:4]
        yield Run(dataset, category, variant, int(seed)), file


def _at_epoch(file: Path, epoch: int | str | None) -> Path:
    # Within the run's own folder: whatever versions, merges or removes the run takes its epochs along.
    return file if epoch is None else file.parent / f"epoch{epoch}" / file.name
