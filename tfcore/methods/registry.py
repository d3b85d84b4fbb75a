"""The methods of the benchmark, and the settings with their sections."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from tfcore.methods.base import Method
from tfcore.methods.transfusion.method import TransFusion
from tfcore.runtime.errors import UserError
from tfcore.settings import loading
from tfcore.settings.variants import Settings, settings_class

METHODS: dict[str, Method] = {method.name: method for method in (TransFusion(),)}
"""By name; the first is the default one."""


def method_named(name: str) -> Method:
    """Return a method; raises `UserError` for a name that is not registered."""
    if name not in METHODS:
        raise UserError(f"no such method '{name}' (known: {', '.join(METHODS)})")
    return METHODS[name]


def scored_method(name: str) -> Method:
    """Return the method whose maps are scored: a registered one, or anybody's whose file has an array ``map``."""
    foreign = Method()
    foreign.name = foreign.title = name
    return METHODS.get(name, foreign)


def load_settings(*files: Path | str) -> Settings:
    """Read ``params.yaml`` and overlays with the sections of all methods; see `tfcore.settings.loading`."""
    return loading.load_settings(_class(tuple(METHODS)), *files)


def parse_settings(values: dict[str, Any], source: str) -> Settings:
    """Validate a nested mapping of settings with the sections of all methods; ``source`` names it in messages."""
    return loading.parse_settings(_class(tuple(METHODS)), values, source)


@lru_cache(maxsize=4)
def _class(names: tuple[str, ...]) -> type[Settings]:
    return settings_class({name: METHODS[name] for name in names})
