"""Is a result on disk the one that the settings ask for?

The workflow asks this to know whether a run needs the images: results that were pulled are used without the data.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from tfcore.config import digest
from tfcore.files import sha256_of
from tfcore.runs import Run, manifest_file


def is_current(
    run: Run,
    stage: Literal["train", "infer"],
    settings: dict[str, Any],
    foreground: str | None = None,
    maps: Path | None = None,
) -> bool:
    """Return whether the checkpoint or the maps of ``run`` come from these settings and from the data of the manifest.

    ``settings`` are those of `tfcore.runs.stage_settings`, ``foreground`` is `tfcore.runs.foreground_source` where it
    matters, ``maps`` other maps than the run's own. An unreadable record counts as not current.
    """
    result = run.checkpoint if stage == "train" else maps or run.maps
    record = _record(result.with_name("run.json"))
    if record is None or not result.exists():
        return False
    inputs = record.get("inputs", {})
    same_data = _sha256(manifest_file(run.dataset, run.category)) in (None, inputs.get("manifest_sha256"))
    same_foreground = foreground in (None, inputs.get("foreground"))
    return same_data and same_foreground and record.get("settings_digest") == digest(settings)


def _record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


@lru_cache(maxsize=1024)
def _sha256(path: Path) -> str | None:
    return sha256_of(path) if path.exists() else None
