"""Who a run is: method, dataset, category, variant and seed; where its files lie; which settings each stage reads."""

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import tfcore
from tfcore.settings.sections import RELEASE, DatasetSettings, Settings, digest, resolve

METHOD = "transfusion"

TEXTURES_FOLDER = Path("data/packed/textures")
"""Folder of the packed textures."""

Stage = Literal["pack", "train", "infer", "score", "sweep"]


@dataclass(frozen=True)
class Run:
    """One training and what follows from it. All paths are relative to the working directory."""

    dataset: str
    category: str
    variant: str = "full"
    seed: int = 0

    @property
    def id(self) -> str:
        """Return ``dataset/category/variant/seedN``."""
        return f"{self.dataset}/{self.category}/{self.variant}/seed{self.seed}"

    @property
    def checkpoint(self) -> Path:
        """Weights of the last epoch, with the run's settings in the file's header."""
        return Path("results/checkpoints") / self.id / "model.safetensors"

    @property
    def maps(self) -> Path:
        """Maps, ground truth and reconstructions of the test images."""
        return Path("results/maps") / self.id / "maps.safetensors"

    def maps_at(self, epoch: int | None) -> Path:
        """Maps of the weights kept after an epoch (``train.keep_epochs``); None = of the last epoch's."""
        return _at_epoch(self.maps, epoch)

    @property
    def scores(self) -> Path:
        """Metrics of the run, one row each."""
        return Path("results/metrics") / self.id / "scores.csv"

    def scores_at(self, epoch: int | None) -> Path:
        """Metrics of the weights kept after an epoch (``train.keep_epochs``); None = of the last epoch's."""
        return _at_epoch(self.scores, epoch)

    @property
    def sweep(self) -> Path:
        """Metrics at every sweep point."""
        return Path("results/metrics") / self.id / "sweep.csv"

    @property
    def work(self) -> Path:
        """Resume state; not an output, survives a failed job."""
        return Path("work") / self.id


def run_names(run: Run) -> dict[str, Any]:
    """Return who a run is, as it stands in the headers of its files and in its records."""
    return {"method": METHOD} | asdict(run)


def _at_epoch(file: Path, epoch: int | None) -> Path:
    # Within the run's own folder: whatever versions, merges or removes the run takes its epochs along.
    return file if epoch is None else file.parent / f"epoch{epoch}" / file.name


def packed_folder(dataset: str, category: str) -> Path:
    """Folder of a category's decoded images and masks."""
    return Path("data/packed") / dataset / category


def manifest_file(dataset: str, category: str) -> Path:
    """List of a category's files with sizes, sha256, split and label; versioned in git, and what training hangs on.

    One file per category, so that a category added to a dataset leaves the results of the others alone.
    """
    return Path("data/manifests") / dataset / f"{category}.csv"


def foreground_source(dataset: DatasetSettings, category: str) -> str:
    """Return where a category's synthetic anomalies may lie: ``everywhere``, on masks that are ``given``, or ``found``.

    Where given masks lie says nothing: the manifest has their sha256.
    """
    if category in dataset.textures:
        return "everywhere"
    return "found" if dataset.foregrounds is None else "given"


def stage_settings(settings: Settings, stage: Stage, variant: str = "full") -> dict[str, Any]:
    """Return exactly what a stage reads, as JSON values: the stage gets this and nothing else.

    The same mapping goes into the rule's ``params:``, so a changed setting reruns what depends on it. What a stage
    takes over from its input (inference: network and process, from the checkpoint) is not repeated here.
    """
    resolved = resolve(settings, variant).model_dump(mode="json", by_alias=True)
    match stage:
        case "pack":
            # One pack serves all variants of a category, hence the unresolved size; `resize` is the same for all.
            return {"recipe": tfcore.PACK_RECIPE, "resize": settings.data.resize}
        case "train":
            values = _training(settings, variant)
            baseline = _training(settings, settings.tables.baseline)
            kept = sorted(set(baseline["train"]["keep_epochs"]))
            # Tables 8 and 9 show the baseline alone: only its training, under whatever name, keeps weights on the way.
            for each in (values, baseline):
                each["train"]["keep_epochs"] = []
            return values | {"train": values["train"] | {"keep_epochs": kept if values == baseline else []}}
        case "infer":
            return {"recipe": tfcore.INFER_RECIPE, "infer": resolved["infer"]}
        case "score":
            return {"recipe": tfcore.SCORE_RECIPE, "score": resolved["score"]}
        case "sweep":
            return {"recipe": tfcore.SCORE_RECIPE, "score": resolved["score"], "sweeps": resolved["sweeps"]}


def _training(settings: Settings, variant: str) -> dict[str, Any]:
    """Return what training of a variant reads, ``keep_epochs`` as it was written."""
    resolved = resolve(settings, variant).model_dump(mode="json", by_alias=True)
    sections = ("protocol", "data", "model", "diffusion", "anomalies", "losses", "train")
    textures = settings.textures
    source = {"size": textures.size, "limit": textures.limit, "sha256": textures.archive.sha256}
    # The first recipe of packing is not written: trainings from before there was a number are of that one.
    packs = {"pack_recipe": tfcore.PACK_RECIPE} if tfcore.PACK_RECIPE > 1 else {}
    return {"recipe": tfcore.RECIPE, "textures": source} | packs | {name: resolved[name] for name in sections}


@lru_cache(maxsize=8)
def _canonical(text: str) -> dict[str, dict[str, str]]:
    settings = Settings.model_validate_json(text)
    first: dict[tuple[str, str], str] = {}
    canonical: dict[str, dict[str, str]] = {RELEASE: {"train": RELEASE, "infer": RELEASE}}  # the authors' weights
    # The baseline comes first: a new variant, wherever it is written, never takes the baseline's results over.
    for variant in dict.fromkeys([settings.tables.baseline, *settings.variants]):
        if variant == RELEASE:
            continue
        train = digest(stage_settings(settings, "train", variant))
        infer = digest([train, stage_settings(settings, "infer", variant)])
        canonical[variant] = {
            "train": first.setdefault(("train", train), variant),
            "infer": first.setdefault(("infer", infer), variant),
        }
    return canonical


def shared_variant(settings: Settings, stage: Literal["train", "infer"], variant: str) -> str:
    """Return the baseline, or else the first variant, whose settings of ``stage`` (and before) are the same.

    They share one result: ``steps_20: {diffusion.steps: 20}`` is ``full`` under another name, and is neither trained
    nor inferred twice.
    """
    return _canonical(settings.model_dump_json(by_alias=True))[variant][stage]


def shared_run(settings: Settings, stage: Literal["train", "infer"], run: Run) -> Run:
    """Return the run whose checkpoint (``train``) or maps (``infer``) this one has (`shared_variant`)."""
    return replace(run, variant=shared_variant(settings, stage, run.variant))
