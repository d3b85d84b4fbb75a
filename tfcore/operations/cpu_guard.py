"""Which trainings are too much for a CPU: told from the settings and the number of images, before anything is made."""

from functools import cache

from tfcore.operations.speed import train_operations
from tfcore.runtime.errors import UserError
from tfcore.settings.sections import ModelSettings, TrainingSettings

CPU_LIMIT, CPU_SPEED = 1e16, 1e11  # operations of a training that a CPU may do (a day), and per second (two cores)


def check_scale(settings: TrainingSettings, images: int) -> None:
    """Refuse a training on ``images`` images that would take a CPU more than a day; raises `UserError`.

    The caller asks where there is no GPU and ``hardware.device`` is ``auto``.
    """
    passes = 3 * images * settings.train.epochs  # backward counts as two forward passes
    if 2 * _parameters(settings.model.model_dump_json()) * settings.crop**2 * passes < CPU_LIMIT:
        return  # even if all weights met every pixel; counting exactly takes seconds
    operations = train_operations(settings, images)
    if operations > CPU_LIMIT:
        raise UserError(
            f"no GPU found, and this training takes {operations:.0e} operations, about "
            f"{operations / CPU_SPEED / 86400:.0f} days on two CPU cores: try `make demo`, or insist with "
            "hardware.device: cpu"
        )


@cache
def _parameters(model: str) -> int:
    import torch

    from tfcore.methods.transfusion.unet import UNet, count_parameters

    with torch.device("meta"):
        return count_parameters(UNet(ModelSettings.model_validate_json(model)))
