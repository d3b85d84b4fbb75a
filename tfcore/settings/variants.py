"""All settings together, and a variant of them: its overrides applied, and what follows the protocol filled in.

A setting whose default is ``None`` and whose description says "protocol" follows ``protocol``: the value that the
paper states, or the one that the authors' released code uses.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal
from typing import Protocol as Structure

from pydantic import Field, ValidationError, create_model, model_validator

from tfcore.runtime.errors import SettingsError, UserError
from tfcore.settings.sections import (
    DatasetSettings,
    DataSettings,
    HardwareSettings,
    Name,
    RunSettings,
    ScoreSettings,
    Section,
    TableSettings,
    TextureSettings,
)

Protocol = Literal["paper", "release"]

# Of the sections that all methods share; a method's own are in its folder.
PROTOCOLS: dict[Protocol, dict[str, Any]] = {
    "paper": {"data.crop": 224, "score.mask_rule": "nearest"},
    "release": {"data.crop": 256, "score.mask_rule": "antialiased"},
}

SHARED_SECTIONS = ("data", "score")
"""Sections that belong to no method and that a variant may change."""


class MethodSettings(Structure):
    """What the settings and the stages must know of a method (`tfcore.methods.base.Method`)."""

    name: str
    title: str
    settings: type[Section]
    at_top: bool  # its sections stand at the top of params.yaml; else it has one section, methods.<name>
    protocols: Mapping[Protocol, Mapping[str, Any]]
    train_version: int  # raised when the numbers change on purpose
    infer_version: int
    needs_textures: bool
    traces: bool

    def reads(self, stage: Any) -> tuple[str, ...]:
        """Return those of the method's own settings that a stage reads; a method that has none has no such stage."""

    def check(self, own: Any, data: DataSettings) -> None:
        """Raise `UserError` for settings that are right one by one, but not together."""

    def epochs(self, own: Any) -> int:
        """Return the number of epochs of a training, 0 for a method that has none."""


class Settings(Section):
    """All settings, one section each; `settings_class` adds those of the methods."""

    known_methods: ClassVar[Mapping[str, MethodSettings]] = {}

    protocol: Protocol = Field("paper", description="`paper` = what the paper says, `release` = the authors' code")
    method: str = Field("", description="method of a variant that names none")
    run: RunSettings = RunSettings()
    datasets: dict[Name, DatasetSettings]
    textures: TextureSettings
    data: DataSettings = DataSettings()
    score: ScoreSettings = ScoreSettings()
    variants: dict[Name, dict[str, Any]] = Field({"full": {}}, description="name: {section.key: value} overrides")
    tables: TableSettings = TableSettings()
    hardware: HardwareSettings = HardwareSettings()

    def __hash__(self) -> int:  # settings never change: functions of them are cached by the object
        return id(self)

    @model_validator(mode="after")
    def _names_exist(self) -> "Settings":
        if "textures" in self.datasets:
            raise ValueError("datasets.textures: the textures lie in folders of this name; give the dataset another")
        lists: list[tuple[str, Collection[str], Collection[str]]] = [
            ("method", [self.method], self.known_methods),
            ("run.datasets", self.run.datasets, self.datasets),
            ("run.variants", self.run.variants or [], self.variants),
            ("run.sweep_variants", self.run.sweep_variants, self.variants),
            ("tables.baseline", [self.tables.baseline], self.variants),
            ("tables.ablation_baseline", [self.ablation_baseline], self.variants),
            ("run.ablation_categories", self.run.ablation_categories, self.datasets),
            ("tables.compare", self.tables.compare, self.variants),
            *self._lists_of_categories(),
        ]
        for key, names, known in lists:
            for name in names:
                if name not in known:
                    raise ValueError(f"{key}: no such entry '{name}' (known: {', '.join(known)})")
        if self.tables.baseline not in self.selected_variants:
            raise ValueError(
                f"tables.baseline: '{self.tables.baseline}' is not among run.variants, so it would not run"
            )
        return self

    def _lists_of_categories(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """Give key, names and known names of each list of categories; an overlay may run only some that have counts."""
        for name, dataset in self.datasets.items():
            known = list(dict.fromkeys([*dataset.categories, *dataset.counts]))
            yield f"datasets.{name}.textures", dataset.textures, known
            yield f"run.ablation_categories.{name}", self.run.ablation_categories.get(name, []), known

    def dataset(self, name: str) -> DatasetSettings:
        """Return a dataset's settings; `UserError` if there is no such dataset."""
        if name not in self.datasets:
            raise UserError(f"no such dataset '{name}' (known: {', '.join(self.datasets)})")
        return self.datasets[name]

    @property
    def own(self) -> Any:
        """Return the sections of the method that these (resolved) settings are of: an instance of its ``settings``."""
        method = self.known_methods[self.method]
        if not method.at_top:
            return getattr(self.methods, method.name)  # type: ignore[attr-defined]  # added by `settings_class`
        return method.settings.model_construct(**{name: getattr(self, name) for name in method.settings.model_fields})

    @property
    def selected_variants(self) -> list[str]:
        """Variants that the targets cover, in the order of ``params.yaml``."""
        return list(self.variants) if self.run.variants is None else self.run.variants

    @property
    def ablation_baseline(self) -> str:
        """Variant that Table 4 compares with."""
        return self.tables.ablation_baseline or self.tables.baseline

    def covered_categories(self, dataset: str, variant: str) -> list[str]:
        """Return the categories of a dataset on which a variant runs: ablations may be kept to some of them."""
        categories = self.datasets[dataset].categories
        if variant in (self.tables.baseline, *self.tables.compare):
            return categories
        chosen = self.run.ablation_categories.get(dataset, categories)
        return [category for category in categories if category in chosen]


def settings_class(methods: Mapping[str, MethodSettings]) -> type[Settings]:
    """Return the class of all settings with the sections of ``methods``; the first method is the default one."""
    top = [method.settings for method in methods.values() if method.at_top]
    fields: Any = {name: (field.annotation, field) for kind in top for name, field in kind.model_fields.items()}
    peers: Any = {name: (each.settings, each.settings()) for name, each in methods.items() if not each.at_top}
    section = create_model("MethodSections", __base__=Section, **peers)
    name = Field(next(iter(methods)), description=Settings.model_fields["method"].description)
    fields |= {"method": (str, name), "methods": (section, section())}
    made: type[Settings] = create_model("Settings", __base__=Settings, **fields)
    made.known_methods = dict(methods)
    return made


@lru_cache(maxsize=512)
def resolve(settings: Settings, variant: str) -> Settings:
    """Apply a variant's overrides and fill what follows the protocol; the result has no ``None`` left to a protocol.

    Raises `SettingsError` that names the variant and the key.
    """
    values = settings.model_dump(mode="json", by_alias=True)
    overrides = values["variants"].get(variant)
    if overrides is None:
        raise SettingsError(f"variants: no such variant '{variant}' (known: {', '.join(values['variants'])})")
    values |= {key: overrides[key] for key in ("protocol", "method") if key in overrides}
    method = settings.known_methods.get(values["method"])
    if method is None:
        known = ", ".join(settings.known_methods)
        raise SettingsError(f"variants.{variant}: method: no such method '{values['method']}' (known: {known})")
    for key, value in overrides.items():
        if key == "data.resize":
            raise SettingsError(f"variants.{variant}: data.resize is the same for all variants, which share the packs")
        if key not in ("protocol", "method"):
            section, name = _place(values, key, method, settings)
            if name not in section:
                if key in RENAMED:
                    raise SettingsError(f"variants.{variant}: {RENAMED[key]}")
                raise SettingsError(f"variants.{variant}: no such setting '{key}' to override")
            section[name] = value
    for protocols in (PROTOCOLS, method.protocols):
        for key, value in protocols.get(values["protocol"], {}).items():
            section, name = _place(values, key, method, settings)
            if section[name] is None:
                section[name] = value
    try:
        resolved = validated(type(settings), values)
    except SettingsError as error:
        raise SettingsError(f"variants.{variant}: {error}") from error
    try:
        crop, resize = resolved.data.crop or resolved.data.resize, resolved.data.resize
        if crop > resize:
            raise SettingsError(f"data.crop: {crop} is larger than data.resize = {resize}")
        method.check(resolved.own, resolved.data)
    except UserError as error:
        raise SettingsError(f"variants.{variant}: {error}" if overrides else str(error)) from error
    return resolved


def _place(values: dict[str, Any], key: str, method: MethodSettings, settings: Settings) -> tuple[dict[str, Any], str]:
    """Return the section that has ``key``, and the key's name in it; an empty section where the method has none."""
    section, _, name = key.partition(".")
    if section in SHARED_SECTIONS:
        kind = type(settings) if method.at_top else Settings
        known: Any = kind.model_fields[section].annotation
        names = {field.alias or each for each, field in known.model_fields.items()}
        return (values[section] if name in names else {}), name
    if method.at_top:
        return (values[section] if section in method.settings.model_fields else {}), name
    return (values["methods"][section] if section == method.name else {}), name


def validated(kind: type[Settings], values: dict[str, Any]) -> Settings:
    """Validate a nested mapping of settings; raises `SettingsError` with the key."""
    try:
        settings = kind.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_first_message(error)) from error
    _check_switches(values, settings.model_dump(by_alias=True))
    return settings


def _check_switches(given: Any, taken: Any, key: str = "") -> None:
    """Raise `SettingsError` where true or false stands for a number: pydantic takes them for 1 and 0.

    Numbers in quotes are taken: `--config` of Snakemake makes them of all nested values.
    """
    if isinstance(given, dict) and isinstance(taken, dict):
        for name, value in given.items():
            _check_switches(value, taken.get(name), f"{key}.{name}" if key else str(name))
    elif isinstance(given, list) and isinstance(taken, list | tuple):
        for number, (value, other) in enumerate(zip(given, taken, strict=True)):
            _check_switches(value, other, f"{key}.{number}")
    elif isinstance(given, bool) and not isinstance(taken, bool):
        raise SettingsError(f"{key}: must be a number, not true or false (found {given})")


def _first_message(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")  # pydantic's mark of a mapping's key
    if first["type"] == "extra_forbidden":
        return RENAMED.get(key, f"unknown key '{key}'")
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (found {first['input']!r})" if key else message


RENAMED = {
    "train.keep_epochs": "train.keep_epochs is tables.checkpoint_epochs now",
    "run.release": "run.release is hardware.released_weights now, for a variant with train.released: true "
    "(docs/reproduce.md)",
}
"""What is said of keys that had another name."""
