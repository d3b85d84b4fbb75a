"""The page docs/settings.md, written from the settings models: it cannot drift, a test compares the two."""

import json
from collections.abc import Callable
from types import NoneType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tfcore.settings.sections import Archive, DatasetSettings, Section, TextureSettings
from tfcore.settings.variants import PROTOCOLS, Settings

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
    "checkpoint_epochs": "epochs",
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

<!-- Written by `python -m tfcore settings-doc` from the descriptions in tfcore/settings and tfcore/methods. -->

All settings live in one file, `params.yaml`. An overlay changes some of them: mappings are merged key by key, lists are
replaced. Snakemake takes overlays by `--configfile`, a single stage by a second `--params`:

```bash
snakemake -n --configfile my.yaml -- table3
python -m tfcore train --params params.yaml --params my.yaml --dataset visa --category capsules
```

An unknown key, a value of the wrong type or out of range, and a variant that overrides a setting that does not exist,
end the program with one line that names the file and the key, before anything has started.

**Reruns** says which stages a changed value makes again: fetch, check, pack, train, infer, score, sweep. The same
mapping goes into the `params:` of the Snakemake rules: it is what happens, not an intention. Tables, figures and the
report page follow whatever was made again; the page shows the settings, so it follows all but `hardware` and `local`.
**Default** holds where a key is in no file; the column *params.yaml* has that file's value, the paper's scale, where it
differs.

Settings marked *protocol* follow the key `protocol` unless they are given a value of their own; see
[the method](method.md) for the two protocols.
"""


ORDER = (
    *("run", "datasets", "textures", "data", "model", "diffusion", "anomalies", "losses", "train", "infer", "score"),
    *("sweeps", "variants", "tables", "hardware"),
)

VARIANTS = """A variant is a named set of overrides `section.key: value`. It becomes a row of the ablation table. It may
name its `method` and `protocol`, and change `data`, `score` and the sections of its method. Variants whose training
settings are equal share one training."""


def settings_page(settings: Settings, effect: Callable[[str], str]) -> str:
    """Return docs/settings.md for the settings of ``params.yaml``.

    ``effect`` says of a key what a change of it reruns (`tfcore.runs.stages.effect`).
    """
    page = _Page(settings, effect)
    blocks = [
        INTRODUCTION,
        page.block("protocol", "What the methods follow.", [page.row("protocol", _field(settings, "protocol"))]),
        page.block("method", "What a run is made with.", [page.row("method", _field(settings, "method"))]),
    ]
    for name in ORDER:
        value = getattr(settings, name)
        blocks.append(page.section(name, value) if isinstance(value, Section) else page.mapping(name))
    for method in settings.known_methods.values():
        if not method.at_top and method.settings.model_fields:
            blocks.append(page.section(f"methods.{method.name}", getattr(settings.methods, method.name)))  # type: ignore[attr-defined]
    return "\n".join(blocks)


def unit(key: str) -> str:
    """Return the unit of a setting, empty for those without numbers."""
    return UNITS.get(key, UNITS.get(key.rpartition(".")[2], ""))


class _Page:
    def __init__(self, settings: Settings, effect: Callable[[str], str]) -> None:
        self.settings, self.effect = settings, effect
        methods = settings.known_methods.values()
        self.protocols = {
            protocol: shared
            | {key: value for method in methods for key, value in method.protocols.get(protocol, {}).items()}
            for protocol, shared in PROTOCOLS.items()
        }

    def section(self, name: str, values: Section) -> str:
        rows = [
            self.row(f"{name}.{field.alias or key}", field, getattr(values, key))
            for key, field in type(values).model_fields.items()
            if field.annotation is not Archive
        ]
        rows += self.archive(name, values.archive) if isinstance(values, TextureSettings) else []
        return self.block(name, type(values).__doc__ or "", rows)

    def mapping(self, name: str) -> str:
        if name == "variants":
            rows = [f"| `{key}` | {_overrides(value)} |" for key, value in self.settings.variants.items()]
            table = "\n".join(["| variant | overrides |", "|---|---|", *rows])
            return f"## variants\n\n{VARIANTS}\n\n**Reruns:** {self.effect(name)}.\n\n{table}\n"
        rows = [
            self.row(f"datasets.*.{key}", field)
            for key, field in DatasetSettings.model_fields.items()
            if field.annotation is not Archive
        ]
        lead = f"One entry per dataset; {', '.join(f'`{key}`' for key in self.settings.datasets)} are there."
        return self.block(name, lead, rows + self.archive("datasets.*"))

    def archive(self, prefix: str, archive: Archive | None = None) -> list[str]:
        return [
            self.row(f"{prefix}.archive.{key}", field, *([getattr(archive, key)] if archive else []))
            for key, field in Archive.model_fields.items()
        ]

    def block(self, name: str, lead: str, rows: list[str]) -> str:
        head = ["| key | meaning | type | unit | default | params.yaml | reruns |", "|---|---|---|---|---|---|---|"]
        return f"## {name}\n\n{lead.strip()}\n\n" + "\n".join(head + rows) + "\n"

    def row(self, key: str, field: FieldInfo, *given: Any) -> str:
        """Return a setting's line; ``given`` is its value in ``params.yaml``, if it can have one there."""
        meaning = (field.description or "").replace("|", "\\|").replace("<", "&lt;")
        default = field.get_default(call_default_factory=True)
        shown = "required" if field.is_required() else f"`{_yaml(default)}`"
        if all(key in values for values in self.protocols.values()):
            meaning = meaning.removesuffix("; protocol")
            shown = "*protocol*: " + ", ".join(f"{name} `{values[key]}`" for name, values in self.protocols.items())
        value = "".join(f"`{_yaml(each)}`" for each in given if _yaml(each) != _yaml(default))
        cells = [f"`{key}`", meaning, _type(field), unit(key), shown, value, self.effect(key)]
        return "| " + " | ".join(cells) + " |"


def _field(settings: Settings, name: str) -> FieldInfo:
    return type(settings).model_fields[name]


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
