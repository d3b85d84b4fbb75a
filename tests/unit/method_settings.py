"""Small settings for tests of the method."""

from typing import Any

from tfcore.methods.transfusion.settings import ModelSettings, TrainingSettings
from tfcore.runs.stages import stage_settings
from tfcore.settings.sections import RunSettings, TextureSettings
from tfcore.settings.variants import Settings

TINY = ModelSettings(width=8, multipliers=[1, 2], blocks=1, attention_levels=1, groups=8)


def training_settings(protocol: str = "paper", **sections: dict[str, Any]) -> TrainingSettings:
    """Settings of training for a tiny network; ``sections`` change single keys."""
    settings = Settings(
        protocol=protocol, run=RunSettings(datasets=[]), datasets={}, textures=TextureSettings(), model=TINY
    )
    values = stage_settings(settings, "train")
    for section, changes in sections.items():
        values[section] |= changes
    return TrainingSettings.model_validate(values)
