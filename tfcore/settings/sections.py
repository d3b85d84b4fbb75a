"""Settings: ``params.yaml``, validated, with its variants resolved into what each stage reads.

A setting whose default is ``None`` and whose description says "protocol" follows ``protocol``: the value that the
paper states, or the one that the authors' released code uses (`PROTOCOLS`).
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tfcore.methods.transfusion.limits import check_size, check_steps, check_widths
from tfcore.runtime.errors import SettingsError, UserError

Protocol = Literal["paper", "release"]

# Every difference between the paper's text and the authors' released code is one setting of its own.
PROTOCOLS: dict[Protocol, dict[str, Any]] = {
    "paper": {
        "data.crop": 224,
        "model.positional_encoding": "sinusoidal",
        "diffusion.beta_grid": "t_over_T",
        "diffusion.anomaly_target": "epsilon",
        "diffusion.step_mask": "soft",
        "anomalies.previous_mask": "perlin",
        "losses.ssim_range": "unit",
        "score.mask_rule": "nearest",
    },
    "release": {
        "data.crop": 256,
        "model.positional_encoding": "row",
        "diffusion.beta_grid": "linspace",
        "diffusion.anomaly_target": "scaled_epsilon",
        "diffusion.step_mask": "binary",
        "anomalies.previous_mask": "noise_threshold",
        "losses.ssim_range": "guessed",
        "score.mask_rule": "antialiased",
    },
}


# The variant of the authors' released checkpoints (run.release). It is scored and never trained.
RELEASE = "release"
# In float32: the authors' numbers are what the tables of their checkpoints are to give.
RELEASE_OVERRIDES = {"protocol": "release", "train.epochs": 0, "train.keep_epochs": [], "infer.precision": "float32"}


def _unique(values: list[Any]) -> list[Any]:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{value} is there twice")
    return values


def _rising(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    if pair[0] > pair[1]:
        raise ValueError("must give the lower value first")
    return pair


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd")
    return value


def _path_part(name: str) -> str:
    if not name or name[0] in ".-" or re.search(r"[\s/\\{}]", name.replace(" ", "")):
        raise ValueError("is part of paths: must not begin with . or -, and have no / \\ { } in it")
    return name


Unique = AfterValidator(_unique)
Rising = AfterValidator(_rising)
Odd = Annotated[int, Field(gt=0), AfterValidator(_odd)]
Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, AfterValidator(_path_part)]


class Section(BaseModel):
    """A group of settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RunSettings(Section):
    """What the targets cover; never part of a run's own settings."""

    datasets: Annotated[list[str], Unique] = Field(
        ["mvtec_ad", "visa"], description="datasets in the tables, in this order"
    )
    variants: Annotated[list[str], Unique] | None = Field(None, description="variants to run; null = all of `variants`")
    seeds: Annotated[list[NotNegative], Unique] = Field(
        [0], min_length=1, description="seeds; with several, tables give mean ± deviation"
    )
    sweep_variants: Annotated[list[str], Unique] = Field(
        ["full"], description="variants whose maps are scored over the sweeps"
    )
    release: str | None = Field(
        None,
        min_length=1,
        description="folder with the authors' checkpoints <category>_model.pkl, for the target release_tables",
    )
    ablation_categories: dict[str, Annotated[list[str], Unique]] = Field(
        {}, description="dataset: categories on which ablations run, to save their cost; datasets not named: all"
    )


class Archive(Section):
    """A file to download; the hash is the truth, the addresses are tried in order."""

    urls: list[str] = Field([], description="addresses, tried in order")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="sha256 of the file, in hexadecimal")
    bytes: int | None = Field(None, gt=0, description="size of the file in bytes")
    keep: bool = Field(True, description="keep the archive after extraction")


class DatasetSettings(Section):
    """One dataset in one of the two official layouts."""

    title: str = Field(description="name in tables")
    layout: Literal["mvtec", "visa"] = Field(description="folder layout: mvtec = <category>/{train,test,ground_truth}")
    published: Literal["VisA", "MVTec AD"] | None = Field(
        None, description="the paper's name of this dataset: its tables then show the published numbers"
    )
    categories: Annotated[list[Name], Unique] = Field(
        min_length=1, description="categories to run, in the order of the tables"
    )
    counts: dict[str, tuple[int, int, int]] = Field(
        {}, description="expected images per category: train, good test, anomalous test"
    )
    split_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="layout visa: sha256 of split_csv/1cls.csv, the one-class split"
    )
    textures: Annotated[list[str], Unique] = Field(
        [], description="categories that are surfaces: anomalies may lie anywhere"
    )
    foregrounds: str | None = Field(
        None, min_length=1, description="folder of precomputed foreground masks, <category>/<name>.png"
    )
    archive: Archive = Archive()
    local: str | None = Field(
        None, min_length=1, description="archive or folder that is already here; wins over downloading"
    )
    licence: str = Field("", description="licence of the images")
    citation: str = Field("", description="how to cite it")


class TextureSettings(Section):
    """Images whose texture is pasted as synthetic anomalies (the Describable Textures Dataset, or any folder)."""

    archive: Archive = Archive()
    local: str | None = Field(None, min_length=1, description="archive or folder of images that is already here")
    size: int = Field(256, gt=7, description="side in pixels to which each texture is resized")
    limit: int | None = Field(None, gt=0, description="use at most this many images (evenly spaced); null = all")
    licence: str = Field("", description="licence of the images")
    citation: str = Field("", description="how to cite it")


class DataSettings(Section):
    """Geometry of the network's input."""

    resize: int = Field(256, gt=7, description="side in pixels to which an image is resized when packed")
    crop: int | None = Field(None, gt=7, description="side in pixels of the centre crop fed to the network; protocol")


class ModelSettings(Section):
    """The network with three heads (Section 3.3 of the paper)."""

    width: int = Field(64, gt=0, description="channels of the first resolution")
    multipliers: list[int] = Field([1, 2, 2, 2], min_length=1, description="factor by which each resolution widens")
    blocks: int = Field(2, gt=0, description="residual blocks per resolution going down; one more going up")
    attention_levels: int = Field(2, ge=0, description="lowest resolutions that have self-attention")
    groups: int = Field(32, gt=0, description="groups of the group normalisation in residual blocks")
    positional_encoding: Literal["sinusoidal", "row", "none"] | None = Field(
        None, description="encoding concatenated to the input: 2D sinusoidal, sine of the row index, none; protocol"
    )


class DiffusionSettings(Section):
    """The transparency process (Eqs. 1-4)."""

    steps: int = Field(20, gt=1, description="T, number of timesteps")
    schedule: Literal["linear", "root", "quadratic"] = Field("linear", description="transparency schedule β_t")
    beta_grid: Literal["t_over_T", "linspace"] | None = Field(
        None, description="β on t/T with T calls, or linspace(0, 1, T) with T-2 calls as released; protocol"
    )
    anomaly_target: Literal["epsilon", "scaled_epsilon"] | None = Field(
        None, description="what the anomaly head learns: ε (Eq. 7) or β_t·ε as released; protocol"
    )
    step_mask: Literal["soft", "binary"] | None = Field(
        None, description="mask in the reverse step (Eq. 4): as estimated, or binarised at 0.5 as released; protocol"
    )


class AnomalySettings(Section):
    """Synthetic anomalies and the imperfect previous mask of training (Section 3.2)."""

    fraction: float = Field(0.5, ge=0, le=1, description="share of a batch that gets an anomaly")
    texture_fraction: float = Field(0.5, ge=0, le=1, description="share of anomalies from textures, not structure")
    perlin_exponents: Annotated[tuple[NotNegative, NotNegative], Rising] = Field(
        (0, 5), description="Perlin resolution per axis is 2^low … 2^high"
    )
    threshold: float = Field(0.5, gt=0, lt=1, description="mask is where |Perlin noise| exceeds this")
    transparency: Annotated[tuple[Share, Share], Rising] = Field(
        (0.0, 0.0), description="share of the original image blended in"
    )
    tiles: int = Field(8, gt=1, description="structure source: the image is cut into tiles × tiles and shuffled")
    operations: int = Field(3, ge=0, description="photometric or geometric operations per anomaly source, of ten")
    foreground: bool = Field(True, description="keep anomalies on the object (categories listed as textures excepted)")
    foreground_dilation: int = Field(5, ge=1, description="side in pixels of the dilation of the foreground")
    previous_mask: Literal["perlin", "noise_threshold", "none"] | None = Field(
        None, description="simulated imperfect mask: Perlin map thresholded anew, as released, or none; protocol"
    )
    previous_mask_dropout: float = Field(0.25, ge=0, le=1, description="share of samples whose previous mask is empty")
    rotation_probability: float = Field(0.3, ge=0, le=1, description="share of samples that are rotated")
    rotation_degrees: float = Field(20.0, ge=0, le=180, description="largest rotation, in degrees")


class LossSettings(Section):
    """Weights of the losses (Eqs. 5-9); 0 leaves a loss out."""

    normal: float = Field(1.0, ge=0, description="weight of L_n = SSIM + L1 (Eq. 8)")
    mask: float = Field(1.0, ge=0, description="weight of L_m = focal_weight·focal + smooth L1 (Eq. 6)")
    anomaly: float = Field(1.0, ge=0, description="weight of L_a = L2 (Eq. 7)")
    consistency: float = Field(1.0, ge=0, description="weight of L_c = L2 on x_{t-1} (Eq. 9)")
    focal_weight: float = Field(5.0, ge=0, description="weight of the focal loss within L_m")
    focal_alpha: float = Field(0.25, ge=0, le=1, description="α of the focal loss")
    focal_gamma: float = Field(2.0, ge=0, description="γ of the focal loss")
    ssim_range: Literal["unit", "guessed"] | None = Field(
        None, description="SSIM on [0, 1], or on [-1, 1] with a range guessed from the prediction; protocol"
    )


class TrainSettings(Section):
    """Optimisation: everything that decides the weights."""

    epochs: int = Field(1500, ge=0, description="epochs; 0 saves the untrained network")
    batch_size: int = Field(8, gt=0, description="images per step")
    learning_rate: float = Field(1e-5, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(0.01, ge=0, description="weight decay of AdamW")
    schedule: Literal["step", "one_cycle"] = Field("step", description="learning-rate schedule")
    drop_epoch: int = Field(800, gt=0, description="schedule `step`: epoch after which the rate is multiplied by 0.1")
    gradient_clip: float | None = Field(None, gt=0, description="largest gradient norm; null = no clipping")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="autocast of the network; auto = bfloat16 where the device has units for it"
    )
    keep_epochs: list[int] = Field(
        [], description="epochs of the baseline's training whose weights are kept as well (Tables 8 and 9)"
    )


class InferSettings(Section):
    """Inference: everything that decides the maps beside the checkpoint."""

    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="autocast, as in training")


class ScoreSettings(Section):
    """From maps to numbers (Eqs. 10-11)."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    lambda_: float = Field(0.95, ge=0, le=1, alias="lambda", description="λ, weight of M_disc against M_recon (Eq. 10)")
    kernel: Odd = Field(7, description="side in pixels of the mean filter (Eq. 11), odd")
    mask_rule: Literal["nearest", "antialiased"] | None = Field(
        None, description="resizing of ground truth: nearest > 0, or antialiased with every touched pixel; protocol"
    )
    fpr_limit: float = Field(0.3, gt=0, le=1, description="AUPRO integrates to this false positive rate")
    resamples: int = Field(2000, ge=0, description="bootstrap resamples; 0 = no intervals")
    confidence: float = Field(0.95, gt=0, lt=1, description="coverage of the intervals")


class SweepSettings(Section):
    """Points scored from the maps of one variant (Figs. 7 and 8; mask rows of Table 4); nothing is retrained."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    lambda_: Annotated[list[Share], Unique] = Field([], alias="lambda", description="values of λ")
    kernel: Annotated[list[Odd], Unique] = Field([], description="sides of the mean filter, odd")
    mask: Annotated[list[Literal["disc", "recon", "last"]], Unique] = Field(
        [], description="maps scored alone: M_disc, M_recon, last mask M_1"
    )


class TableSettings(Section):
    """Presentation of the tables; a variant that is not named here is a row of its own under its own name."""

    baseline: str = Field("full", description="variant that the tables report; one of `run.variants`")
    ablation_baseline: str | None = Field(
        None, description="variant that ablations are compared with in Table 4; null = the baseline"
    )
    compare: Annotated[list[str], Unique] = Field(
        [], description="further variants shown beside the baseline in Tables 1-3 and 6-7"
    )
    inference_steps: Annotated[list[Annotated[int, Field(gt=1)]], Unique] = Field(
        [5, 10, 20, 50, 100], description="Table 5: numbers of timesteps T"
    )
    inference_batches: Annotated[list[Positive], Unique] = Field([1, 8, 32], description="Table 5: batch sizes")


class HardwareSettings(Section):
    """Where and how fast; changing these never reruns anything."""

    device: Literal["auto", "cuda", "cpu"] = Field(
        "auto", description="auto = GPU, and refuses paper-scale training without one; cpu insists"
    )
    compile: bool = Field(True, description="torch.compile on the GPU")
    deterministic: bool = Field(False, description="bit-reproducible kernels on the GPU, at some cost")
    infer_batch: int = Field(32, gt=0, description="images per inference batch")
    save_minutes: float = Field(10.0, gt=0, description="minutes between two saves of the training state")
    log_every: int = Field(50, gt=0, description="steps between two rows of log.csv")
    threads: int = Field(0, ge=0, description="CPU threads of torch; 0 = as the scheduler grants, else torch's default")


class Settings(Section):
    """All settings, one section each."""

    protocol: Protocol = Field("paper", description="`paper` = what the paper says, `release` = the authors' code")
    run: RunSettings = RunSettings()
    datasets: dict[Name, DatasetSettings]
    textures: TextureSettings
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    diffusion: DiffusionSettings = DiffusionSettings()
    anomalies: AnomalySettings = AnomalySettings()
    losses: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()
    infer: InferSettings = InferSettings()
    score: ScoreSettings = ScoreSettings()
    sweeps: SweepSettings = SweepSettings()
    variants: dict[Name, dict[str, Any]] = Field({"full": {}}, description="name: {section.key: value} overrides")
    tables: TableSettings = TableSettings()
    hardware: HardwareSettings = HardwareSettings()

    @model_validator(mode="after")
    def _names_exist(self) -> "Settings":
        if "textures" in self.datasets:
            raise ValueError("datasets.textures: the textures lie in folders of this name; give the dataset another")
        if self.variants.get(RELEASE, RELEASE_OVERRIDES) != RELEASE_OVERRIDES:
            raise ValueError(
                f"variants.{RELEASE}: run.release has this name for the authors' checkpoints; take another"
            )
        lists: list[tuple[str, Collection[str], Collection[str]]] = [
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


class TrainingSettings(Section):
    """What training reads, and inference takes over from the checkpoint: `stage_settings` of ``train``."""

    recipe: int
    protocol: Protocol
    data: DataSettings
    model: ModelSettings
    diffusion: DiffusionSettings
    anomalies: AnomalySettings
    losses: LossSettings
    train: TrainSettings
    textures: dict[str, Any] = Field({}, description="size, limit and archive of the textures")
    pack_recipe: int = Field(1, description="recipe of the packs that it reads")

    @property
    def crop(self) -> int:
        """Side in pixels of the network's input."""
        return self.data.crop or self.data.resize


# Sections that a variant may change; the others do not belong to the method.
VARIANT_SECTIONS = ("data", "model", "diffusion", "anomalies", "losses", "train", "infer", "score")


def load_settings(*files: Path | str) -> Settings:
    """Read ``params.yaml`` and overlays (later files win key by key, lists are replaced) and validate them.

    Raises `SettingsError` with one line that names the file and the key.
    """
    merged: dict[str, Any] = {}
    for file in files:
        merged = merge(merged, read_settings(file))
    return parse_settings(merged, " + ".join(str(file) for file in files))


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


def parse_settings(values: dict[str, Any], source: str) -> Settings:
    """Validate a nested mapping of settings; ``source`` names it in messages."""
    try:
        settings = _validated(values)
    except SettingsError as error:
        raise SettingsError(f"{source}: {error}") from error
    if not settings.run.datasets:
        raise SettingsError(f"{source}: run.datasets: must name at least one")
    for variant in settings.variants:
        try:
            resolve(settings, variant)
        except SettingsError as error:
            raise SettingsError(f"{source}: {error}") from error
    train = resolve(settings, settings.tables.baseline).train
    for epoch in train.keep_epochs:
        if not 1 <= epoch <= train.epochs:
            raise SettingsError(
                f"{source}: train.keep_epochs: epoch {epoch} is not within 1 … {train.epochs}, the epochs of the "
                f"baseline '{settings.tables.baseline}'"
            )
    return settings


def resolve(settings: Settings, variant: str) -> Settings:
    """Apply a variant's overrides and fill what follows the protocol; the result has no ``None`` left to a protocol."""
    return _resolve(settings.model_dump_json(by_alias=True), variant)


@lru_cache(maxsize=256)
def _resolve(text: str, variant: str) -> Settings:
    values: dict[str, Any] = json.loads(text)
    overrides = values["variants"].get(variant)
    if overrides is None:
        raise SettingsError(f"variants: no such variant '{variant}' (known: {', '.join(values['variants'])})")
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        if key == "protocol":
            values["protocol"] = value
        elif key == "data.resize":
            raise SettingsError(f"variants.{variant}: data.resize is the same for all variants, which share the packs")
        elif section not in VARIANT_SECTIONS or name not in values[section]:
            raise SettingsError(f"variants.{variant}: no such setting '{key}' to override")
        else:
            values[section][name] = value
    for key, value in PROTOCOLS.get(values["protocol"], {}).items():
        section, _, name = key.partition(".")
        if values[section][name] is None:
            values[section][name] = value
    try:
        resolved = _validated(values)
    except SettingsError as error:
        raise SettingsError(f"variants.{variant}: {error}") from error
    try:
        _check_method(resolved)
    except UserError as error:
        raise SettingsError(f"variants.{variant}: {error}" if overrides else str(error)) from error
    return resolved


def _validated(values: dict[str, Any]) -> Settings:
    """Validate a nested mapping; raises `SettingsError` with the key."""
    try:
        settings = Settings.model_validate(values)
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


def _check_method(resolved: Settings) -> None:
    """Raise `UserError` for settings that are right one by one, but not together."""
    crop, resize = resolved.data.crop or resolved.data.resize, resolved.data.resize
    if crop > resize:
        raise SettingsError(f"data.crop: {crop} is larger than data.resize = {resize}")
    check_widths(resolved.model)
    check_size(crop, crop, len(resolved.model.multipliers))
    check_steps(resolved.diffusion.steps, resolved.diffusion.beta_grid)
    losses = resolved.losses
    if not any((losses.normal, losses.mask, losses.anomaly, losses.consistency)):
        raise SettingsError("losses: every weight is 0, nothing would be learnt")


def digest(value: Any) -> str:
    """Return 12 hexadecimal digits that identify a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def merge(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Merge nested mappings: the overlay wins key by key, lists are replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if nested else value
    return merged


def _first_message(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")  # pydantic's mark of a mapping's key
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (found {first['input']!r})" if key else message
