"""Settings from files: ``params.yaml`` and overlays, merged and checked as a whole."""

from pathlib import Path
from typing import Any

import yaml

from tfcore.runtime.errors import SettingsError
from tfcore.settings.variants import Settings, resolve, validated


def load_settings(kind: type[Settings], *files: Path | str) -> Settings:
    """Read ``params.yaml`` and overlays (later files win key by key, lists are replaced) and validate them.

    Raises `SettingsError` with one line that names the file and the key.
    """
    merged: dict[str, Any] = {}
    for file in files:
        merged = merge(merged, read_settings(file))
    return parse_settings(kind, merged, " + ".join(str(file) for file in files))


class _Loader(yaml.SafeLoader):
    """YAML in which a key that is there twice is an error; otherwise the first one would silently be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for place, (key, _) in enumerate(node.value):
            if key.value in keys[:place]:
                raise yaml.YAMLError(f"key '{key.value}' is there twice (line {key.start_mark.line + 1})")
        return super().construct_mapping(node, deep)


def read_settings(file: Path | str) -> dict[str, Any]:
    """Read one settings file without judging its keys; raises `SettingsError` with one line that names it."""
    try:
        values = yaml.load(Path(file).read_text(encoding="utf-8"), _Loader) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: expected a mapping of sections, found {type(values).__name__}")
    return values


def parse_settings(kind: type[Settings], values: dict[str, Any], source: str) -> Settings:
    """Validate a nested mapping of settings and each of its variants; ``source`` names it in messages."""
    try:
        settings = validated(kind, values)
        if not settings.run.datasets:
            raise SettingsError("run.datasets: must name at least one")
        for variant in settings.variants:
            resolve(settings, variant)
        _check_epochs(settings)
    except SettingsError as error:
        raise SettingsError(f"{source}: {error}") from error
    return settings


def _check_epochs(settings: Settings) -> None:
    name = settings.tables.baseline
    baseline = resolve(settings, name)
    epochs = settings.known_methods[baseline.method].epochs(baseline.own)
    for epoch in settings.tables.checkpoint_epochs:
        if epoch > epochs:
            raise SettingsError(
                f"tables.checkpoint_epochs: epoch {epoch} is not within 1 … {epochs}, the epochs of the baseline "
                f"'{name}'"
            )


def merge(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Merge nested mappings: the overlay wins key by key, lists are replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if nested else value
    return merged
