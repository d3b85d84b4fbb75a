"""The page docs/settings.md, written from the settings models: it cannot drift, a test compares the two."""

import json
from types import NoneType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tfcore.runs.run import Stage, stage_settings
from tfcore.settings.sections import (
    PROTOCOLS,
    VARIANT_SECTIONS,
    Archive,
    DatasetSettings,
    Section,
    Settings,
    TextureSettings,
)

STAGES: tuple[Stage, ...] = ("pack", "train", "infer", "score", "sweep")

MISSING = "what is missing is made; tables"
PACKED_TEXTURES = ("textures.size", "textures.limit")

# Settings that no stage's own settings contain: what a change of them does is not read off `stage_settings`.
OTHER_EFFECTS = {
    "run": MISSING,
    "datasets.*.title": "tables",
    "datasets.*.layout": "check; tables",
    "datasets.*.published": "tables",
    "datasets.*.categories": MISSING,
    "datasets.*.counts": "nothing; the next check reads it",
    "datasets.*.split_sha256": "nothing; the next check reads it",
    "datasets.*.textures": "of these categories: pack, train, infer, score, sweep",
    "datasets.*.foregrounds": "of its objects: pack, train, infer, score, sweep",
    "datasets.*.local": "nothing; the next fetch reads it",
    "datasets.*.archive": "nothing; the next fetch reads it",
    "datasets.*.licence": "nothing",
    "datasets.*.citation": "nothing",
    "textures.local": "fetch, pack; finished trainings stay",
    "textures.archive": "nothing; the next fetch reads it",
    "textures.licence": "nothing",
    "textures.citation": "nothing",
    "variants": "only the variants whose resolved settings change",
    "tables": MISSING,
    "tables.inference_steps": "timing; tables",
    "tables.inference_batches": "timing; tables",
    "hardware": "nothing",
}

# Of settings with numbers; a name alone serves every section.
UNITS = {
    "run.seeds": "none",
    "counts": "images",
    "bytes": "bytes",
    "textures.size": "pixels",
    "textures.limit": "images",
    "resize": "pixels",
    "crop": "pixels",
    "width": "channels",
    "multipliers": "factor",
    "blocks": "blocks",
    "attention_levels": "resolutions",
    "groups": "groups",
    "diffusion.steps": "timesteps",
    "fraction": "share",
    "texture_fraction": "share",
    "perlin_exponents": "power of 2",
    "anomalies.threshold": "noise, of 1",
    "transparency": "share",
    "tiles": "tiles per side",
    "operations": "operations",
    "foreground_dilation": "pixels",
    "previous_mask_dropout": "share",
    "rotation_probability": "share",
    "rotation_degrees": "degrees",
    "losses.normal": "factor",
    "losses.mask": "factor",
    "losses.anomaly": "factor",
    "losses.consistency": "factor",
    "focal_weight": "factor",
    "focal_alpha": "share",
    "focal_gamma": "exponent",
    "epochs": "epochs",
    "batch_size": "images",
    "learning_rate": "per step",
    "weight_decay": "factor",
    "drop_epoch": "epochs",
    "gradient_clip": "norm",
    "keep_epochs": "epochs",
    "lambda": "share",
    "kernel": "pixels",
    "fpr_limit": "share",
    "resamples": "resamples",
    "confidence": "share",
    "inference_steps": "timesteps",
    "inference_batches": "images",
    "infer_batch": "images",
    "save_minutes": "minutes",
    "log_every": "steps",
    "threads": "threads",
}

INTRODUCTION = """# Settings

<!-- Written by `python -m tfcore settings-doc`; edit the descriptions in tfcore/config.py instead. -->

All settings live in one file, `params.yaml`. An overlay changes some of them: mappings are merged key by key, lists are
replaced. Snakemake takes overlays by `--configfile`, a single stage by a second `--params`:

```bash
snakemake -n --configfile my.yaml -- table3
python -m tfcore train --params params.yaml --params my.yaml --dataset visa --category capsules
```

An unknown key, a value of the wrong type or out of range, and a variant that overrides a setting that does not exist,
end the program with one line that names the file and the key, before anything has started.

**Reruns** says which stages a changed value makes anew: fetch, check, pack, train, infer, score, sweep. The same
mapping goes into the `params:` of the Snakemake rules: it is what happens, not an intention. Tables, figures and the
report page follow whatever was made anew; the page shows the settings, so it follows all but `hardware` and `local`.
**Default** holds where a key is in no file; the column *params.yaml* has that file's value, the paper's scale, where it
differs.

Settings marked *protocol* follow the key `protocol` unless they are given a value of their own; see
[the method](method.md) for the two protocols.
"""


def settings_page(settings: Settings) -> str:
    """Return docs/settings.md for the settings of ``params.yaml``."""
    blocks = [INTRODUCTION, _protocol_block(settings)]
    for name, field in Settings.model_fields.items():
        model = _section_model(field)
        if model is not None:
            blocks.append(_section_block(name, model, getattr(settings, name), settings))
        elif name in ("datasets", "variants"):
            blocks.append(_mapping_block(name, settings))
    return "\n".join(blocks)


def effect(key: str, settings: Settings) -> str:
    """Say which stages a change of ``section.key`` reruns, read from what the stages read."""
    for number, stage in enumerate(STAGES):
        if _reads(stage, key, settings):
            following = ", ".join(STAGES[number:])
            return f"pack, {following}" if key in PACKED_TEXTURES else following
    known = [name for name in OTHER_EFFECTS if f"{key}.".startswith(f"{name}.")]
    return OTHER_EFFECTS[max(known, key=len)]


def unit(key: str) -> str:
    """Return the unit of a setting, empty for those without numbers."""
    return UNITS.get(key, UNITS.get(key.rpartition(".")[2], ""))


def _reads(stage: Stage, key: str, settings: Settings) -> bool:
    values = stage_settings(settings, stage)
    if stage == "pack":
        return key == "data.resize"  # under its bare name
    section, _, name = key.partition(".")
    found = values.get(section)
    # `textures.archive.sha256` is read under its last name.
    return name.rpartition(".")[2] in found if isinstance(found, dict) and name else section in values


def _protocol_block(settings: Settings) -> str:
    return _block(
        "protocol", "What the method follows.", [_row("protocol", Settings.model_fields["protocol"], settings)]
    )


def _section_block(name: str, model: type[Section], values: Section, settings: Settings) -> str:
    rows = [
        _row(f"{name}.{field.alias or key}", field, settings, getattr(values, key))
        for key, field in model.model_fields.items()
        if field.annotation is not Archive
    ]
    rows += _archive_rows(name, settings, values.archive) if isinstance(values, TextureSettings) else []
    return _block(name, model.__doc__ or "", rows)


def _mapping_block(name: str, settings: Settings) -> str:
    if name == "variants":
        rows = [f"| `{key}` | {_overrides(value)} |" for key, value in settings.variants.items()]
        table = "\n".join(["| variant | overrides |", "|---|---|", *rows])
        lead = (
            "A variant is a named set of overrides `section.key: value`. It becomes a row of the ablation table. It "
            f"may change the sections {', '.join(VARIANT_SECTIONS)}, and `protocol` itself. "
            "Variants whose training settings are equal share one training."
        )
        return f"## variants\n\n{lead}\n\n**Reruns:** {effect(name, settings)}.\n\n{table}\n"
    rows = [
        _row(f"datasets.*.{key}", field, settings)
        for key, field in DatasetSettings.model_fields.items()
        if field.annotation is not Archive
    ]
    lead = f"One entry per dataset; {', '.join(f'`{key}`' for key in settings.datasets)} are there."
    return _block(name, lead, rows + _archive_rows("datasets.*", settings))


def _archive_rows(prefix: str, settings: Settings, archive: Archive | None = None) -> list[str]:
    return [
        _row(f"{prefix}.archive.{key}", field, settings, *([getattr(archive, key)] if archive else []))
        for key, field in Archive.model_fields.items()
    ]


def _block(name: str, lead: str, rows: list[str]) -> str:
    head = ["| key | meaning | type | unit | default | params.yaml | reruns |", "|---|---|---|---|---|---|---|"]
    return f"## {name}\n\n{lead.strip()}\n\n" + "\n".join(head + rows) + "\n"


def _row(key: str, field: FieldInfo, settings: Settings, *given: Any) -> str:
    """Return a setting's line; ``given`` is its value in ``params.yaml``, if it can have one there."""
    meaning = (field.description or "").replace("|", "\\|").replace("<", "&lt;")
    default = field.get_default(call_default_factory=True)
    shown = "required" if field.is_required() else f"`{_yaml(default)}`"
    if all(key in values for values in PROTOCOLS.values()):
        meaning = meaning.removesuffix("; protocol")
        shown = "*protocol*: " + ", ".join(f"{name} `{values[key]}`" for name, values in PROTOCOLS.items())
    value = "".join(f"`{_yaml(each)}`" for each in given if _yaml(each) != _yaml(default))
    cells = [f"`{key}`", meaning, _type(field), unit(key), shown, value, effect(key, settings)]
    return "| " + " | ".join(cells) + " |"


def _type(field: FieldInfo) -> str:
    return " ".join(part for part in (_name(field.annotation), _limits(field)) if part).replace("|", "\\|")


def _name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if type(None) in arguments:  # Optional
        return " or ".join("null" if item is NoneType else _name(item) for item in arguments)
    if origin is Annotated:
        return _name(arguments[0])
    if origin is list:
        return f"list of {_name(arguments[0])}"
    if origin is tuple:
        return f"{len(arguments)} × {_name(arguments[0])}"
    if origin is dict:
        return f"mapping to {_name(arguments[1])}"
    if origin is Union:
        return " or ".join(_name(item) for item in arguments)
    return {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}.get(
        getattr(annotation, "__name__", ""), str(getattr(annotation, "__name__", annotation))
    )


def _limits(field: FieldInfo) -> str:
    parts = []
    for rule in field.metadata:
        match rule:
            case Ge(ge=low):
                parts.append(f"≥ {low}")
            case Gt(gt=low):
                parts.append(f"> {low}")
            case Le(le=high):
                parts.append(f"≤ {high}")
            case Lt(lt=high):
                parts.append(f"< {high}")
            case MinLen(min_length=length):
                parts.append(f"(at least {length})")
    return ", ".join(parts)


def _overrides(values: dict[str, Any]) -> str:
    return ", ".join(f"`{key}: {_yaml(value)}`" for key, value in values.items()) or "none: the method itself"


def _yaml(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, str):
        return value or '""'
    return json.dumps(value, ensure_ascii=False)


def _section_model(field: FieldInfo) -> type[Section] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None
