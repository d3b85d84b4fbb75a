"""What a network and its process can be made of. Without torch, so that wrong settings are refused at once."""

from typing import TYPE_CHECKING

from tfcore.runtime.errors import SettingsError, UserError

if TYPE_CHECKING:
    from tfcore.settings.sections import ModelSettings

HEAD_GROUPS = 8


def check_size(height: int, width: int, levels: int) -> None:
    """Raise `UserError` unless both sides are divided by the down-samplings of a network with ``levels``."""
    factor = 2 ** (levels - 1)
    if height % factor or width % factor:
        raise UserError(
            f"data.crop: images of {height}×{width} are not divisible by {factor}, "
            f"which the network's {levels} resolutions need (model.multipliers)"
        )


def check_widths(settings: "ModelSettings") -> None:
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
