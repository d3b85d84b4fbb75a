"""Sections of the settings that no method owns: data, what targets cover, scores, tables, hardware."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


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

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


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
    """Geometry of a method's input."""

    resize: int = Field(256, gt=7, description="side in pixels to which an image is resized when packed")
    crop: int | None = Field(None, gt=7, description="side in pixels of the centre crop that a method sees; protocol")


class ScoreSettings(Section):
    """From anomaly maps to numbers, the same for every method."""

    mask_rule: Literal["nearest", "antialiased"] | None = Field(
        None, description="resizing of ground truth: nearest > 0, or antialiased with every touched pixel; protocol"
    )
    fpr_limit: float = Field(0.3, gt=0, le=1, description="AUPRO integrates to this false positive rate")
    resamples: int = Field(2000, ge=0, description="bootstrap resamples; 0 = no intervals")
    confidence: float = Field(0.95, gt=0, lt=1, description="coverage of the intervals")


class TableSettings(Section):
    """Presentation of the tables; a variant that is not named here is a row of its own under its own name."""

    baseline: str = Field("full", description="variant that the tables report; one of `run.variants`")
    ablation_baseline: str | None = Field(
        None, description="variant that ablations are compared with in Table 4; null = the baseline"
    )
    compare: Annotated[list[str], Unique] = Field(
        [], description="further variants shown beside the baseline in Tables 1-3 and 6-7"
    )
    checkpoint_epochs: Annotated[list[Positive], Unique] = Field(
        [], description="epochs of the baseline's training that leave an intermediate checkpoint (Tables 8 and 9)"
    )
    inference_steps: Annotated[list[Annotated[int, Field(gt=1)]], Unique] = Field(
        [5, 10, 20, 50, 100], description="Table 5: numbers of timesteps T"
    )
    inference_batches: Annotated[list[Positive], Unique] = Field([1, 8, 32], description="Table 5: batch sizes")


class HardwareSettings(Section):
    """Where things are and how fast they go; changing these never reruns anything."""

    device: Literal["auto", "cuda", "cpu"] = Field(
        "auto", description="auto = GPU, and refuses paper-scale training without one; cpu insists"
    )
    compile: bool = Field(True, description="torch.compile on the GPU")
    deterministic: bool = Field(False, description="bit-reproducible kernels on the GPU, at some cost")
    infer_batch: int = Field(32, gt=0, description="images per inference batch")
    save_minutes: float = Field(10.0, gt=0, description="minutes between two saves of the training state")
    log_every: int = Field(50, gt=0, description="steps between two rows of log.csv")
    released_weights: str | None = Field(
        None, min_length=1, description="folder with the authors' checkpoints, [<dataset>/]<category>_model.pkl"
    )
    threads: int = Field(0, ge=0, description="CPU threads of torch; 0 = as the scheduler grants, else torch's default")
