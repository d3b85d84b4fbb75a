"""What a method is: its settings, how it is trained, what it makes of images, and how its maps become scores.

Everything else is shared: data, crop, masks, resuming, records, scores, tables, SLURM, DVC. ``docs/extending.md`` adds
one in a few lines.
"""

from __future__ import annotations  # of the annotated types most need torch, which listing the methods does not

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfcore.runs.stages import RunStage
from tfcore.runtime.errors import UserError
from tfcore.settings.sections import DataSettings, HardwareSettings, Section

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tfcore.data.packed import Packed
    from tfcore.data.training_data import TrainingData
    from tfcore.training.checkpoint import Checkpoint
    from tfcore.training.log import TrainingLog
    from tfcore.training.loop import Job

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Fitted:
    """What a training hands over: the tensors of its checkpoint, its log, and what its record says beside them."""

    state: dict[str, Tensor]
    log: TrainingLog | None = None
    changed_settings: dict[str, Any] = field(default_factory=dict)  # in which the checkpoint differs from the run's
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Operations:
    """What a method costs, for plans: operations (2 per multiply-add) per image of a training step and of inference."""

    step: float
    inference: float
    epochs: int

    @property
    def training(self) -> float:
        """Operations of a whole training, per training image."""
        return self.step * self.epochs


class Model(ABC):
    """A checkpoint on a device, ready for images."""

    precision: str = "float32"  # as in the settings
    steps: int | None = None  # network calls that Table 5 may vary; None for a method that has no such number

    @abstractmethod
    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the raw anomaly maps of a batch uint8 (B, H, W, 3) on the device, as the maps file has them.

        ``map`` float32 (B, H, W) higher = more anomalous, unless the method has `Method.final_maps` of its own;
        optional ``score`` float32 (B) and ``reconstruction`` uint8 (B, H, W, 3).
        """

    def with_steps(self, steps: int) -> Model:
        """Return the same model with another number of timesteps."""
        raise NotImplementedError


class Method:
    """A method of the benchmark; `tfcore.methods.registry` lists them.

    As it stands, it is somebody's whose anomaly maps are scored, and which is neither trained nor inferred here.
    """

    name: str
    title: str  # in tables
    settings: type[Section] = Section  # its section: checks and docs/settings.md come from it
    at_top: bool = False  # its sections stand at the top of params.yaml; else it has methods.<name>
    protocols: Mapping[Any, Mapping[str, Any]] = {}
    train_version: int = 1  # raised when the numbers change on purpose
    infer_version: int = 1
    needs_textures: bool = False
    traces: bool = False  # whether a figure can show what it does to an image step by step (`trace`)
    map_bytes: int = 6  # of the maps file, per pixel of an image: a float32 map and two masks

    def fit(self, job: Job, data: TrainingData) -> Fitted:
        """Train; a method that iterates does so through `tfcore.training.loop.run_steps`."""
        raise UserError(f"{self.name}: is not trained here")

    def load(
        self, checkpoint: Checkpoint, infer: dict[str, Any], hardware: HardwareSettings, device: torch.device
    ) -> Model:
        """Return the model of a checkpoint; ``infer`` is ``stage_settings(…, "infer")``, empty = its defaults."""
        raise UserError(f"{self.name}: is not inferred here")

    def final_maps(self, maps: Arrays, score: Mapping[str, Any]) -> NDArray[np.float32]:
        """Return the maps (N, H, W) that are scored, from those of the maps file and ``stage_settings(…, "score")``."""
        return np.asarray(maps["map"], dtype=np.float32)

    def image_scores(self, maps: Arrays, final: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the image scores (N): the method's own, or else the maximum of each map."""
        return np.asarray(maps["score"] if "score" in maps else final.max(axis=(1, 2)), dtype=np.float32)

    def sweep_points(self, maps: Arrays, sweep: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Give name and final maps of every sweep point of ``stage_settings(…, "sweep")``; most methods have none."""
        return iter(())

    def training_samples(
        self, settings: Mapping[str, Any], data: TrainingData, rows: Tensor, seed: int
    ) -> tuple[str, list[NDArray[np.uint8]]]:
        """Return what a training makes of some images, and a title: panels uint8 (len(rows), H, W, 3), side by side."""
        return "training image", [data.images[rows].cpu().numpy()]

    def trace(self, model: Model, checkpoint: Checkpoint, data: Packed, index: int | None, out: Path) -> None:
        """Write what the method does to one test image step by step; `UserError` from a method that has no steps."""
        raise UserError(f"{checkpoint.path}: {self.title} has no steps to trace")

    def reads(self, stage: RunStage) -> tuple[str, ...]:
        """Return those of the method's own settings that a stage reads; by default training reads all of them."""
        return tuple(self.settings.model_fields) if stage == "train" else ()

    def check(self, own: Any, data: DataSettings) -> None:
        """Raise `UserError` for settings that are right one by one, but not together."""

    def epochs(self, own: Any) -> int:
        """Return the number of epochs of a training, 0 for a method that has none."""
        return 0

    def operations(self, settings: Mapping[str, Any]) -> Operations | None:
        """Return what ``stage_settings(…, "train")`` cost, for plans; None where it is not known."""
        return None

    def network(self, settings: Mapping[str, Any]) -> str:
        """Name what decides the speed: runs of the same name are as fast as one another."""
        return self.name

    def summary(self, settings: Mapping[str, Any]) -> str:
        """Say in a few words what ``stage_settings(…, "train")`` train, for the report page."""
        return self.title

    def weights_bytes(self, settings: Mapping[str, Any]) -> float:
        """Return the size of a checkpoint, for plans."""
        return 0.0
