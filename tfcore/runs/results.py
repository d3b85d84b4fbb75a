"""Is a result on disk the one that the settings ask for?

The workflow asks this to know whether a run needs the images (results that were pulled are used without the data), the
plan to know what is to do.
"""

from pathlib import Path
from typing import Any, Literal

from tfcore.runs.record import read_record
from tfcore.runs.run import Run, foreground_source, manifest_file, shared_run, stage_settings
from tfcore.runtime.files import sha256_of
from tfcore.settings.sections import Settings, digest

Stage = Literal["train", "infer", "score", "sweep"]


class Results:
    """The results in the working directory, judged by the records beside them: their settings, and the sha256 of what
    they were made from.

    What a result was made from need not be here, as in a clone without maps; where it is, it is judged as well. A
    record that is missing or unreadable counts as one of other settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._digests: dict[tuple[Stage, str], str] = {}
        self._manifests: dict[Path, str | None] = {}

    def trained(self, run: Run) -> bool:
        """Return whether the run's checkpoint comes from these settings and from the data of the manifest."""
        foreground = foreground_source(self.settings.datasets[run.dataset], run.category)
        inputs = {"manifest_sha256": self._manifest(run), "foreground": foreground}
        return run.checkpoint.exists() and self._fits(_beside(run.checkpoint), "train", run, inputs)

    def inferred(self, run: Run, epoch: int | None = None) -> bool:
        """Return whether the run's maps (of weights kept after ``epoch``) come from these settings and weights."""
        training = shared_run(self.settings, "train", run)
        record = _beside(training.checkpoint)
        inputs = {"manifest_sha256": self._manifest(run), "checkpoint_sha256": _weights(record or {}, epoch)}
        maps = run.maps_at(epoch)
        return (
            maps.exists()
            and self._fits(_beside(maps), "infer", run, inputs)
            and (record is None or self.trained(training))
        )

    def scored(self, run: Run, epoch: int | None = None) -> bool:
        """Return whether the run's scores (of weights kept after ``epoch``) come from these settings and these maps."""
        return self._is_made_from_maps(run.scores_at(epoch), "score", run, epoch)

    def swept(self, run: Run) -> bool:
        """Return whether the run's sweep comes from these settings and these maps."""
        return self._is_made_from_maps(run.sweep, "sweep", run)

    def _is_made_from_maps(self, file: Path, stage: Stage, run: Run, epoch: int | None = None) -> bool:
        inference = shared_run(self.settings, "infer", run)
        record = _beside(inference.maps_at(epoch))
        inputs = {"maps_sha256": (record or {}).get("maps_sha256")}
        return (
            file.exists()
            and self._fits(read_record(file.with_suffix(".json")), stage, run, inputs)
            and (record is None or self.inferred(inference, epoch))
        )

    def _fits(self, record: dict[str, Any] | None, stage: Stage, run: Run, inputs: dict[str, str | None]) -> bool:
        """Return whether a record is of these settings and inputs; an input that is not here (None) is not compared."""
        if record is None:
            return False
        recorded = record.get("inputs") or {}
        same = all(value in (None, recorded.get(name)) for name, value in inputs.items())
        return same and record.get("settings_digest") == self._digest(stage, run.variant)

    def _digest(self, stage: Stage, variant: str) -> str:
        key = (stage, variant)
        if key not in self._digests:
            self._digests[key] = digest(stage_settings(self.settings, stage, variant))
        return self._digests[key]

    def _manifest(self, run: Run) -> str | None:
        file = manifest_file(run.dataset, run.category)
        if file not in self._manifests:
            self._manifests[file] = sha256_of(file) if file.exists() else None
        return self._manifests[file]


def _beside(result: Path) -> dict[str, Any] | None:
    return read_record(result.with_name("run.json"))


def _weights(record: dict[str, Any], epoch: int | None) -> str | None:
    """Return the sha256 of a training's last weights, or of those kept after an epoch."""
    if epoch is None:
        return record.get("model_sha256")
    return (record.get("kept_sha256") or {}).get(str(epoch))
