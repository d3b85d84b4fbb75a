"""The page docs/settings.md, written from the settings models: it cannot drift, a test compares the two."""

import json
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tfcore.settings.sections import Archive, DatasetSettings, Section
from tfcore.settings.variants import PROTOCOLS, Settings

# Of settings with numbers, by unit; a name alone serves every section.
_SETTINGS_BY_UNIT = {
    "none": "run.seeds",
    "images": "counts textures.limit batch_size infer_batch inference_batches",
    "bytes": "bytes",
    "pixels": "textures.size resize crop foreground_dilation kernel",
    "channels": "width",
    "factor": "multipliers losses.normal losses.mask losses.anomaly losses.consistency focal_weight weight_decay",
    "blocks": "blocks",
    "resolutions": "attention_levels",
    "groups": "groups",
    "timesteps": "diffusion.steps inference_steps",
    "share": "fraction texture_fraction transparency previous_mask_dropout rotation_probability focal_alpha lambda "
    "fpr_limit confidence",
    "power of 2": "perlin_exponents",
    "noise, of 1": "anomalies.threshold",
    "tiles per side": "tiles",
    "operations": "operations",
    "degrees": "rotation_degrees",
    "exponent": "focal_gamma",
    "epochs": "epochs drop_epoch checkpoint_epochs",
    "per step": "learning_rate",
    "norm": "gradient_clip",
    "resamples": "resamples",
    "minutes": "save_minutes",
    "steps": "log_every",
    "threads": "threads",
}
UNITS = {name: unit for unit, names in _SETTINGS_BY_UNIT.items() for name in names.split()}

# Of rules for numbers and lists, as pydantic keeps them.
LIMITS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}", "min_length": "(at least {})"}
TYPES = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "NoneType": "null"}

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
    page, fields = _Page(settings, effect), type(settings).model_fields
    blocks = [
        INTRODUCTION,
        page.block("protocol", "What the methods follow.", [page.row("protocol", fields["protocol"])]),
        page.block("method", "What a run is made with.", [page.row("method", fields["method"])]),
    ]
    for name in ORDER:
        value = getattr(settings, name)
        blocks.append(page.section(name, value) if isinstance(value, Section) else page.mapping(name))
    for method in settings.known_methods.values():
        if not method.at_top and method.settings.model_fields:
            blocks.append(page.section(f"methods.{method.name}", getattr(settings.methods, method.name)))  # type: ignore[attr-defined]
    return "\n".join(blocks)


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
        return self.block(name, type(values).__doc__ or "", self.rows(name, type(values), values))

    def mapping(self, name: str) -> str:
        if name == "variants":
            rows = [f"| `{key}` | {_overrides(value)} |" for key, value in self.settings.variants.items()]
            table = "\n".join(["| variant | overrides |", "|---|---|", *rows])
            return f"## variants\n\n{VARIANTS}\n\n**Reruns:** {self.effect(name)}.\n\n{table}\n"
        lead = f"One entry per dataset; {', '.join(f'`{key}`' for key in self.settings.datasets)} are there."
        return self.block(name, lead, self.rows("datasets.*", DatasetSettings))

    def rows(self, prefix: str, kind: type[Section], *values: Section) -> list[str]:
        """Return the lines of a section, those of its archive last; ``values`` is what ``params.yaml`` has there."""
        rows, archive = [], []
        for key, field in kind.model_fields.items():
            given = [getattr(each, key) for each in values]
            if field.annotation is Archive:
                archive = self.rows(f"{prefix}.archive", Archive, *given)
            else:
                rows.append(self.row(f"{prefix}.{field.alias or key}", field, *given))
        return rows + archive

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
        unit = UNITS.get(key, UNITS.get(key.rpartition(".")[2], ""))  # empty for settings without numbers
        value = "".join(f"`{_yaml(each)}`" for each in given if _yaml(each) != _yaml(default))
        kind = f"{_name(field.annotation)} {_limits(field)}".strip().replace("|", "\\|")
        cells = [f"`{key}`", meaning, kind, unit, shown, value, self.effect(key)]
        return "| " + " | ".join(cells) + " |"


def _name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_name(item) for item in arguments)
    if origin is Annotated:
        return _name(arguments[0])
    if origin is list:
        return f"list of {_name(arguments[0])}"
    if origin is tuple:
        return f"{len(arguments)} × {_name(arguments[0])}"
    if origin is dict:
        return f"mapping to {_name(arguments[1])}"
    return str(TYPES.get(annotation.__name__, annotation.__name__))


def _limits(field: FieldInfo) -> str:
    named = [(rule, name) for rule in field.metadata for name in LIMITS if hasattr(rule, name)]
    return ", ".join(LIMITS[name].format(getattr(rule, name)) for rule, name in named)


def _overrides(values: dict[str, Any]) -> str:
    return ", ".join(f"`{key}: {_yaml(value)}`" for key, value in values.items()) or "none: the method itself"


def _yaml(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, str):
        return value or '""'
    return json.dumps(value, ensure_ascii=False)
