"""The page docs/settings.md, written from the settings models: it cannot drift, a test compares the two."""

import json
from types import NoneType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tfcore.config import PROTOCOLS, VARIANT_SECTIONS, Archive, DatasetSettings, Section, Settings, TextureSettings
from tfcore.runs import Stage, stage_settings

STAGES: tuple[Stage, ...] = ("pack", "train", "infer", "score", "sweep")

# Sections that no stage's own settings contain: what a change of them does is not read off `stage_settings`.
OTHER_EFFECTS = {
    "run": "nothing; it decides which runs the targets ask for, so only missing ones are made",
    "datasets": "`archive`, `local`: fetching; `counts`: the check; `categories`, `textures`, `foregrounds`: packing "
    "of the categories concerned and what follows; the rest: tables and figures",
    "textures": "fetching, packing of the textures, and all training after it if their content changes",
    "variants": "only the variants whose resolved settings change",
    "tables": "tables, figures and the report",
    "hardware": "nothing, ever",
}

FOLLOWING = {
    "pack": "packing, and everything after it if the arrays change",
    "train": "training, and inference and scoring after it",
    "infer": "inference, and scoring after it",
    "score": "scoring (and the sweeps)",
    "sweep": "the sweeps",
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

**Reruns** says what a changed value makes anew. The same mapping goes into the `params:` of the Snakemake rules: it is
what happens, not an intention. Values in the column *value* are those of `params.yaml`, the paper's scale.

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


def effect(section: str, settings: Settings) -> str:
    """Say what a change in ``section`` reruns, read from what the stages read."""
    for stage in STAGES:
        if section in stage_settings(settings, stage):
            following = FOLLOWING[stage]
            # `data.resize` is read by packing under its bare name.
            return f"{FOLLOWING['pack']} (`resize`); {following} (`crop`)" if section == "data" else following
    return OTHER_EFFECTS[section]


def _protocol_block(settings: Settings) -> str:
    field = Settings.model_fields["protocol"]
    rows = [_row("protocol", field, settings.protocol)]
    return _block("protocol", "What the method follows.", effect("protocol", settings), rows)


def _section_block(name: str, model: type[Section], values: Section, settings: Settings) -> str:
    rows = [
        _row(f"{name}.{field.alias or key}", field, getattr(values, key))
        for key, field in model.model_fields.items()
        if field.annotation is not Archive
    ]
    rows += _archive_rows(name, values.archive) if isinstance(values, TextureSettings) else []
    return _block(name, model.__doc__ or "", effect(name, settings), rows)


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
        _row(f"datasets.*.{key}", field, field.get_default(call_default_factory=True), required=field.is_required())
        for key, field in DatasetSettings.model_fields.items()
        if field.annotation is not Archive
    ]
    lead = f"One entry per dataset; {', '.join(f'`{key}`' for key in settings.datasets)} are there."
    return _block(name, lead, effect(name, settings), rows + _archive_rows("datasets.*", Archive()))


def _archive_rows(prefix: str, archive: Archive) -> list[str]:
    fields = Archive.model_fields.items()
    return [_row(f"{prefix}.archive.{key}", field, getattr(archive, key)) for key, field in fields]


def _block(name: str, lead: str, reruns: str, rows: list[str]) -> str:
    head = ["| key | meaning | type | value |", "|---|---|---|---|"]
    return f"## {name}\n\n{lead.strip()}\n\n**Reruns:** {reruns}.\n\n" + "\n".join(head + rows) + "\n"


def _row(key: str, field: FieldInfo, value: Any, required: bool = False) -> str:
    meaning = (field.description or "").replace("|", "\\|").replace("<", "&lt;")
    if all(key in values for values in PROTOCOLS.values()):
        meaning = meaning.removesuffix("; protocol")
        shown = "*protocol*: " + ", ".join(f"{name} `{values[key]}`" for name, values in PROTOCOLS.items())
    else:
        shown = "required" if required else f"`{_yaml(value)}`"
    return f"| `{key}` | {meaning} | {_type(field)} | {shown} |"


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
