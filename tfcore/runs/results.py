"""Is a result on disk the one that the settings ask for? Whoever wants to know asks `Results`.

The workflow asks to know whether a job needs the images (results that were pulled are used without the data), the plan
to know what is to do.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfcore.runs.record import read_record
from tfcore.runs.run import Run
from tfcore.runs.stages import Result, RunStage, foreground_source, shared_run, stage_settings
from tfcore.runtime.files import digest, sha256_of
from tfcore.settings.variants import Settings


class Results:
    """The results in the working directory, judged by the records beside them: their settings, and the sha256 of what
    they were made from.

    What a result was made from need not be here, as in a clone without anomaly maps; where it is, it is judged as
    well. A record that is missing or unreadable counts as one of other settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._digests: dict[tuple[RunStage, str], str] = {}
        self._manifests: dict[Path, str | None] = {}
        self._made: dict[Result, bool] = {}

    def is_made(self, result: Result) -> bool:
        """Return whether a result is here and comes from these settings; the answer is kept."""
        if result not in self._made:
            self._made[result] = result.file.exists() and self._fits(result, read_record(result.record))
        return self._made[result]

    def source_of(self, result: Result) -> Result | None:
        """Return the result that another is made from; a training is made from images."""
        if result.stage == "train":
            return None
        if result.stage == "infer":
            return Result("train", shared_run(self.settings, "train", result.run))
        return Result("infer", shared_run(self.settings, "infer", result.run), result.epoch)

    def with_sources(self, results: Iterable[Result]) -> dict[Result, Result | None]:
        """Return the results and all that they are made from, each with what it is made from itself."""
        found: dict[Result, Result | None] = {}
        left = list(results)
        while left:
            result = left.pop(0)
            if result not in found:
                found[result] = source = self.source_of(result)
                left += [source] if source else []
        return found

    def _fits(self, result: Result, record: dict[str, Any] | None) -> bool:
        """Return whether a record is of these settings and inputs; an input that is not here is not compared."""
        if record is None or record.get("settings_digest") != self._digest(result):
            return False
        recorded = record.get("inputs") or {}
        if any(value not in (None, recorded.get(name)) for name, value in self._inputs(result).items()):
            return False
        source = self.source_of(result)
        return source is None or not source.record.exists() or self.is_made(source)

    def _inputs(self, result: Result) -> dict[str, str | None]:
        """Return the sha256 of what a result should have been made from, None of what is not here."""
        source = self.source_of(result)
        record = (read_record(source.record) if source else None) or {}
        match result.stage:
            case "train":
                dataset = self.settings.datasets[result.run.dataset]
                foreground = foreground_source(dataset, result.run.category)
                return {"manifest_sha256": self._manifest(result.run), "foreground": foreground}
            case "infer":
                weights = record.get("model_sha256")
                if result.epoch is not None:
                    weights = (record.get("checkpoints_sha256") or {}).get(str(result.epoch))
                return {"manifest_sha256": self._manifest(result.run), "checkpoint_sha256": weights}
            case "score" | "sweep":
                return {"maps_sha256": record.get("maps_sha256")}

    def _digest(self, result: Result) -> str:
        key = (result.stage, result.run.variant)
        if key not in self._digests:
            self._digests[key] = digest(stage_settings(self.settings, *key))
        return self._digests[key]

    def _manifest(self, run: Run) -> str | None:
        if run.manifest not in self._manifests:
            self._manifests[run.manifest] = sha256_of(run.manifest) if run.manifest.exists() else None
        return self._manifests[run.manifest]
