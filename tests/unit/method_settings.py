"""Small settings for tests of the method."""

from typing import Any

from tfcore.methods.registry import parse_settings
from tfcore.methods.transfusion.settings import ModelSettings, TrainingSettings
from tfcore.runs.stages import stage_settings

TINY = ModelSettings(width=8, multipliers=[1, 2], blocks=1, attention_levels=1, groups=8)


def training_settings(protocol: str = "paper", **sections: dict[str, Any]) -> TrainingSettings:
    """Settings of training for a tiny network; ``sections`` change single keys."""
    given = {
        "protocol": protocol,
        "run": {"datasets": ["any"]},
        "datasets": {"any": {"title": "Any", "layout": "mvtec", "categories": ["thing"]}},
        "textures": {},
        "model": TINY.model_dump(),
    }
    values = stage_settings(parse_settings(given, "test"), "train")
    return TrainingSettings.model_validate(
        values | {section: values[section] | changes for section, changes in sections.items()}
    )
