"""TransFusion's settings, and what of them fits together. Without torch, so that wrong settings are refused at once."""

from typing import Annotated, Any, Literal

from pydantic import Field

from tfcore.runtime.errors import SettingsError, UserError
from tfcore.settings.sections import (
    DataSettings,
    NotNegative,
    Odd,
    Rising,
    ScoreSettings,
    Section,
    Share,
    Unique,
)
from tfcore.settings.variants import Protocol

NAME = "transfusion"

TRAIN_VERSION = 2
"""Version of training: raising it trains everything again."""

INFER_VERSION = 1
"""Version of inference: raising it makes all anomaly maps again."""

TRAINED = ("model", "diffusion", "anomalies", "losses", "train")
"""Sections that training reads; with the data's geometry they are in the checkpoint's header."""

HEAD_GROUPS = 8

# Every difference between the paper's text and the authors' released code is one setting of its own.
PROTOCOLS: dict[Protocol, dict[str, Any]] = {
    "paper": {
        "model.positional_encoding": "sinusoidal",
        "diffusion.beta_grid": "t_over_T",
        "diffusion.anomaly_target": "epsilon",
        "diffusion.step_mask": "soft",
        "anomalies.previous_mask": "perlin",
        "losses.ssim_range": "unit",
    },
    "release": {
        "model.positional_encoding": "row",
        "diffusion.beta_grid": "linspace",
        "diffusion.anomaly_target": "scaled_epsilon",
        "diffusion.step_mask": "binary",
        "anomalies.previous_mask": "noise_threshold",
        "losses.ssim_range": "guessed",
    },
}


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
        None, description="simulated imperfect mask: Perlin map thresholded again, as released, or none; protocol"
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
    released: bool = Field(
        False, description="take the authors' weights (hardware.released_weights) instead of training"
    )


class InferSettings(Section):
    """Inference: everything that decides the maps beside the checkpoint."""

    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="autocast, as in training")


class WeightedScoreSettings(ScoreSettings):
    """From maps to numbers (Eqs. 10-11): what every method is scored by, and how TransFusion's two maps are joined."""

    lambda_: float = Field(0.95, ge=0, le=1, alias="lambda", description="λ, weight of M_disc against M_recon (Eq. 10)")
    kernel: Odd = Field(7, description="side in pixels of the mean filter (Eq. 11), odd")


class SweepSettings(Section):
    """Points scored from the maps of one variant (Figs. 7 and 8; mask rows of Table 4); nothing is retrained."""

    lambda_: Annotated[list[Share], Unique] = Field([], alias="lambda", description="values of λ")
    kernel: Annotated[list[Odd], Unique] = Field([], description="sides of the mean filter, odd")
    mask: Annotated[list[Literal["disc", "recon", "last"]], Unique] = Field(
        [], description="maps scored alone: M_disc, M_recon, last mask M_1"
    )


class TransFusionSettings(Section):
    """All of TransFusion's sections; being the subject of the benchmark, it has them at the top of ``params.yaml``."""

    model: ModelSettings = ModelSettings()
    diffusion: DiffusionSettings = DiffusionSettings()
    anomalies: AnomalySettings = AnomalySettings()
    losses: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()
    infer: InferSettings = InferSettings()
    score: WeightedScoreSettings = WeightedScoreSettings()
    sweeps: SweepSettings = SweepSettings()


class TrainingSettings(Section):
    """What training reads, and inference takes over from the checkpoint: `stage_settings` of ``train``."""

    method: str
    version: int
    protocol: Protocol
    data: DataSettings
    model: ModelSettings
    diffusion: DiffusionSettings
    anomalies: AnomalySettings
    losses: LossSettings
    train: TrainSettings
    checkpoint_epochs: list[int] = Field([], description="epochs that leave an intermediate checkpoint")
    textures: dict[str, Any] = Field({}, description="size, limit and archive of the textures")
    pack_version: int = Field(1, description="version of the packs that it reads")

    @property
    def crop(self) -> int:
        """Side in pixels of the network's input."""
        return self.data.crop or self.data.resize


def check_size(height: int, width: int, levels: int) -> None:
    """Raise `UserError` unless both sides are divided by the down-samplings of a network with ``levels``."""
    factor = 2 ** (levels - 1)
    if height % factor or width % factor:
        raise UserError(
            f"data.crop: images of {height}×{width} are not divisible by {factor}, "
            f"which the network's {levels} resolutions need (model.multipliers)"
        )


def check_widths(settings: ModelSettings) -> None:
    """Raise `SettingsError` unless the channels divide into groups and attention has its resolutions."""
    if settings.attention_levels > len(settings.multipliers):
        raise SettingsError(
            f"model.attention_levels: {settings.attention_levels} exceeds the "
            f"{len(settings.multipliers)} resolutions of model.multipliers"
        )
    if settings.width % HEAD_GROUPS or settings.width < 2:
        raise SettingsError(f"model.width: {settings.width} is not divisible by the {HEAD_GROUPS} groups of the heads")
    if settings.width % settings.groups:  # every other width is a multiple of it
        raise SettingsError(f"model.width: {settings.width} is not divisible by model.groups = {settings.groups}")
    if min(settings.multipliers) < 1:
        raise SettingsError(f"model.multipliers: must be at least 1 (found {settings.multipliers})")


def check_steps(steps: int, beta_grid: str | None) -> None:
    """Raise `SettingsError` when the reverse process would call the network not even once."""
    if beta_grid == "linspace" and steps < 3:
        raise SettingsError("diffusion.steps: must be at least 3 with beta_grid linspace, which makes T - 2 calls")


def check_together(settings: TransFusionSettings, data: DataSettings) -> None:
    """Raise `UserError` for settings that are right one by one, but not together."""
    crop = data.crop or data.resize
    check_widths(settings.model)
    check_size(crop, crop, len(settings.model.multipliers))
    check_steps(settings.diffusion.steps, settings.diffusion.beta_grid)
    losses = settings.losses
    if not any((losses.normal, losses.mask, losses.anomaly, losses.consistency)):
        raise SettingsError("losses: every weight is 0, nothing would be learnt")
