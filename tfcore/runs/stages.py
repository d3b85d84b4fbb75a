"""The stages of a run: what each reads, the number of its version, the rule that makes it, and who shares its result.

The settings of a stage go into its rule's ``params:`` as they are, so a changed setting reruns what depends on it.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from tfcore.runs.run import Run, record_of
from tfcore.runtime.files import digest
from tfcore.settings.sections import DatasetSettings, ScoreSettings
from tfcore.settings.variants import MethodSettings, Settings, resolve

PACK_VERSION = 1
"""Version of packing (resizing, foregrounds, textures): raising it packs everything again, and trains it again."""

SCORE_VERSION = 1
"""Version of scoring: raising it scores all anomaly maps again."""

TABLE_VERSION = 1
"""Version of tables, claims and the report page: raising it writes them again, from the scores that are there."""

Stage = Literal["pack", "train", "infer", "score", "sweep"]
RunStage = Literal["train", "infer", "score", "sweep"]

RULES: dict[RunStage, str] = {
    "train": "train_model",
    "infer": "infer_maps",
    "score": "score_maps",
    "sweep": "sweep_maps",
}
"""The rule of each stage; those of an intermediate checkpoint are ``infer_epoch`` and ``score_epoch``."""


@dataclass(frozen=True)
class Result:
    """What one stage makes of one run, or of its intermediate checkpoint after ``epoch``."""

    stage: RunStage
    run: Run
    epoch: int | None = None

    @property
    def file(self) -> Path:
        """Return the file that the stage makes."""
        match self.stage:
            case "train":
                return self.run.checkpoint_at(self.epoch)
            case "infer":
                return self.run.maps_at(self.epoch)
            case "score":
                return self.run.scores_at(self.epoch)
            case "sweep":
                return self.run.sweep

    @property
    def record(self) -> Path:
        """Return the record beside the file: what it was made from."""
        return record_of(self.file)

    @property
    def job(self) -> Path:
        """Return rule and run as the paths of logs and benchmark files have them: ``train_model/visa/…/seed0``."""
        rule = RULES[self.stage] if self.epoch is None else f"{self.stage}_epoch{self.epoch}"
        return Path(rule) / self.run.id


def method_of(settings: Settings, variant: str) -> MethodSettings:
    """Return the method of a variant."""
    return settings.known_methods[resolve(settings, variant).method]


def stage_settings(settings: Settings, stage: Stage, variant: str = "full") -> dict[str, Any]:
    """Return exactly what a stage reads, as JSON values: the stage gets this and nothing else.

    What a stage takes over from its input (inference: network and process, from the checkpoint) is not repeated here.
    """
    if stage == "pack":
        # One pack serves all variants of a category, hence the unresolved size; `resize` is the same for all.
        return {"version": PACK_VERSION, "resize": settings.data.resize}
    if stage == "train":
        return _training(settings, variant) | {"checkpoint_epochs": checkpoint_epochs(settings, variant)}
    resolved, method = resolve(settings, variant), method_of(settings, variant)
    own = resolved.own.model_dump(mode="json", by_alias=True)
    if stage == "infer":
        return {"version": method.infer_version} | {name: own[name] for name in method.reads("infer")}
    shared = resolved.score.model_dump(mode="json", include=set(ScoreSettings.model_fields))
    values = {"version": SCORE_VERSION, "score": shared} | {name: own[name] for name in method.reads("score")}
    return values | {name: own[name] for name in method.reads("sweep")} if stage == "sweep" else values


@lru_cache(maxsize=512)
def _training(settings: Settings, variant: str) -> dict[str, Any]:
    """Return what decides the weights of a variant."""
    resolved, method, textures = resolve(settings, variant), method_of(settings, variant), settings.textures
    own = resolved.own.model_dump(mode="json", by_alias=True)
    values = {"method": method.name, "version": method.train_version, "pack_version": PACK_VERSION}
    values |= {"protocol": resolved.protocol, "data": resolved.data.model_dump(mode="json")}
    if method.needs_textures:
        source = {"size": textures.size, "limit": textures.limit, "sha256": textures.archive.sha256}
        values |= {"textures": source}
    return values | {name: own[name] for name in method.reads("train")}


def checkpoint_epochs(settings: Settings, variant: str) -> list[int]:
    """Return the epochs of a variant's training that leave an intermediate checkpoint.

    Tables 8 and 9 show the baseline alone: only its training, under whatever name, leaves any.
    """
    same = _training(settings, variant) == _training(settings, settings.tables.baseline)
    return sorted(settings.tables.checkpoint_epochs) if same else []


@lru_cache(maxsize=16)
def _shared_variants(settings: Settings) -> dict[tuple[str, str], str]:
    first: dict[str, str] = {}
    shared: dict[tuple[str, str], str] = {}
    # The baseline comes first: a new variant, wherever it is written, never takes the baseline's results over.
    for variant in dict.fromkeys([settings.tables.baseline, *settings.variants]):
        read: list[dict[str, Any]] = []
        for stage in ("train", "infer", "score"):
            read.append(stage_settings(settings, stage, variant))
            shared[stage, variant] = first.setdefault(digest(read), variant)
    return shared


def shared_variant(settings: Settings, stage: Literal["train", "infer", "score"], variant: str) -> str:
    """Return the baseline, or else the first variant, whose settings of ``stage`` and before it are the same.

    They share one result: ``steps_20: {diffusion.steps: 20}`` is ``full`` under another name, and is neither trained
    nor inferred twice.
    """
    return _shared_variants(settings)[stage, variant]


def shared_run(settings: Settings, stage: Literal["train", "infer"], run: Run) -> Run:
    """Return the run whose checkpoint (``train``) or anomaly maps (``infer``) this one has (`shared_variant`)."""
    return replace(run, variant=shared_variant(settings, stage, run.variant))


def foreground_source(dataset: DatasetSettings, category: str) -> str:
    """Return where a category's synthetic anomalies may lie: ``everywhere``, on masks that are ``given``, or ``found``.

    Where given masks lie says nothing: the manifest has their sha256.
    """
    if category in dataset.textures:
        return "everywhere"
    return "found" if dataset.foregrounds is None else "given"


# What a change of settings that are in no stage's own reruns; the longest key that fits decides.
_OTHER_EFFECTS = {
    "run": "what is missing is made; tables",
    "datasets": "nothing",
    "datasets.*.title": "tables",
    "datasets.*.layout": "check; tables",
    "datasets.*.published": "tables",
    "datasets.*.categories": "what is missing is made; tables",
    "datasets.*.counts": "nothing; the next check reads it",
    "datasets.*.split_sha256": "nothing; the next check reads it",
    "datasets.*.textures": "of these categories: pack, train, infer, score, sweep",
    "datasets.*.foregrounds": "of its objects: pack, train, infer, score, sweep",
    "datasets.*.local": "nothing; the next fetch reads it",
    "datasets.*.archive": "nothing; the next fetch reads it",
    "textures": "nothing",
    "textures.size": "pack, train, infer, score, sweep",
    "textures.limit": "pack, train, infer, score, sweep",
    "textures.local": "fetch, pack; finished trainings stay",
    "textures.archive": "nothing; the next fetch reads it",
    "textures.archive.sha256": "train, infer, score, sweep",
    "method": "only the variants whose resolved settings change",
    "variants": "only the variants whose resolved settings change",
    "tables": "what is missing is made; tables",
    "tables.checkpoint_epochs": "train, infer, score, sweep of the baseline",
    "tables.inference_steps": "timing; tables",
    "tables.inference_batches": "timing; tables",
    "hardware": "nothing",
}


def effect(settings: Settings, key: str) -> str:
    """Say which stages a change of ``section.key`` reruns, read from what the stages read."""
    stages: tuple[Stage, ...] = ("pack", "train", "infer", "score", "sweep")
    section, _, name = key.partition(".")
    known = [each for each in _OTHER_EFFECTS if f"{key}.".startswith(f"{each}.")]
    if known:
        return _OTHER_EFFECTS[max(known, key=len)]
    for number, stage in enumerate(stages):
        values = stage_settings(settings, stage, settings.tables.baseline)
        if section == "methods" and stage != "pack":  # the baseline need not be of this method
            method = settings.known_methods[name.partition(".")[0]]
            found: Any = {f"{method.name}.{own}" for own in method.reads(stage)}
        else:
            found = values.get(section)
        in_section = isinstance(found, dict | set) and name in found if name else section in values
        if in_section or (stage == "pack" and key == "data.resize"):  # under its bare name
            return ", ".join(stages[number:])
    raise KeyError(key)
