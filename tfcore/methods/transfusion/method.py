"""TransFusion as a method of the benchmark. Its stages import torch only when they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfcore.methods.base import Arrays, Fitted, Method, Model, Operations
from tfcore.methods.transfusion.settings import (
    INFER_VERSION,
    NAME,
    PROTOCOLS,
    TRAIN_VERSION,
    TRAINED,
    TrainingSettings,
    TransFusionSettings,
    check_together,
)
from tfcore.runs.stages import RunStage
from tfcore.settings.sections import DataSettings, HardwareSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tfcore.data.packed import Packed
    from tfcore.data.training_data import TrainingData
    from tfcore.methods.transfusion.infer import TransFusionModel
    from tfcore.training.checkpoint import Checkpoint
    from tfcore.training.loop import Job


class TransFusion(Method):
    """A transparency-based diffusion model (arXiv 2311.09999), the subject of this benchmark."""

    name, title = NAME, "TransFusion"
    settings = TransFusionSettings
    at_top = True
    protocols = PROTOCOLS
    train_version, infer_version = TRAIN_VERSION, INFER_VERSION
    needs_textures = True
    traces = True
    map_bytes = 17  # three float32 maps, two masks, an RGB reconstruction

    def fit(self, job: Job, data: TrainingData) -> Fitted:
        """Train the three heads (Section 3.2)."""
        from tfcore.methods.transfusion.train import fit

        return fit(job, data)

    def load(
        self, checkpoint: Checkpoint, infer: dict[str, Any], hardware: HardwareSettings, device: torch.device
    ) -> TransFusionModel:
        """Return the network and its reverse process (Section 3.4)."""
        from tfcore.methods.transfusion.infer import TransFusionModel

        return TransFusionModel(checkpoint, infer, hardware, device)

    def final_maps(self, maps: Arrays, score: Mapping[str, Any]) -> NDArray[np.float32]:
        """Join M_disc and M_recon by λ, and filter (Eqs. 10 and 11)."""
        from tfcore.methods.transfusion.maps import final_maps

        return final_maps(maps["disc"], maps["recon"], score["score"]["lambda"], score["score"]["kernel"])

    def sweep_points(self, maps: Arrays, sweep: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Vary λ and the filter, and take one map alone (Figs. 7 and 8; mask rows of Table 4)."""
        from tfcore.methods.transfusion.maps import sweep_points

        return sweep_points(maps, sweep)

    def training_samples(
        self, settings: Mapping[str, Any], data: TrainingData, rows: Tensor, seed: int
    ) -> tuple[str, list[NDArray[np.uint8]]]:
        """Return images with opaque anomalies, their masks and the simulated previous masks."""
        from tfcore.methods.transfusion.samples import TITLE, training_samples

        return TITLE, training_samples(TrainingSettings.model_validate(settings), data, rows, seed)

    def trace(self, model: Model, checkpoint: Checkpoint, data: Packed, index: int | None, out: Path) -> None:
        """Write x_t, mask, anomaly and normal appearance at every step of the reverse process (Fig. 3)."""
        from tfcore.methods.transfusion.infer import TransFusionModel
        from tfcore.methods.transfusion.trace import trace

        assert isinstance(model, TransFusionModel)
        trace(model, checkpoint, data, index, out)

    def reads(self, stage: RunStage) -> tuple[str, ...]:
        """Return the sections that a stage reads."""
        return {"train": TRAINED, "infer": ("infer",), "score": ("score",), "sweep": ("sweeps",)}[stage]

    def check(self, own: TransFusionSettings, data: DataSettings) -> None:
        """Raise `UserError` for settings that are right one by one, but not together."""
        check_together(own, data)

    def epochs(self, own: TransFusionSettings) -> int:
        """Return the number of epochs of a training, 0 where the authors' weights stand in its place."""
        return 0 if own.train.released else own.train.epochs

    def operations(self, settings: Mapping[str, Any]) -> Operations:
        """Count the network's operations; a backward pass counts as two forward ones."""
        from tfcore.methods.transfusion.operations import forward_operations, network_calls

        training = TrainingSettings.model_validate(settings)
        forward = forward_operations(training.model, training.crop)
        epochs = 0 if training.train.released else training.train.epochs
        return Operations(3 * forward, forward * network_calls(training.diffusion), epochs)

    def network(self, settings: Mapping[str, Any]) -> str:
        """Name the network's shape and the size of its input."""
        training = TrainingSettings.model_validate(settings)
        shape = training.model.model_dump(include={"width", "multipliers", "blocks", "attention_levels"})
        return f"{NAME} {shape} at {training.crop} pixels"

    def summary(self, settings: Mapping[str, Any]) -> str:
        """Say the length of the training, the size of the input and of the network."""
        training = TrainingSettings.model_validate(settings)
        return f"{training.train.epochs} epochs at {training.crop} px, width {training.model.width}"

    def weights_bytes(self, settings: Mapping[str, Any]) -> float:
        """Return the size of a checkpoint, float32."""
        from tfcore.methods.transfusion.operations import parameters_of

        return 4.0 * parameters_of(TrainingSettings.model_validate(settings).model)
