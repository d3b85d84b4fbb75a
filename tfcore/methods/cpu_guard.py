"""Which trainings are too much for a CPU: told from the settings and the number of images, before anything is made."""

from typing import Any

from tfcore.methods.registry import method_named
from tfcore.runtime.errors import UserError

CPU_LIMIT, CPU_SPEED = 1e16, 1e11  # operations of a training that a CPU may do (a day), and per second (two cores)


def check_training(settings: dict[str, Any], images: int) -> None:
    """Refuse a training (``stage_settings(…, "train")``) that would take a CPU more than a day; raises `UserError`.

    The caller asks where there is no GPU and ``hardware.device`` is ``auto``.
    """
    cost = method_named(settings["method"]).operations(settings)
    operations = 0.0 if cost is None else cost.training * images
    if operations > CPU_LIMIT:
        raise UserError(
            f"no GPU found, and this training takes {operations:.0e} operations, about "
            f"{operations / CPU_SPEED / 86400:.0f} days on two CPU cores: try `make demo`, or insist with "
            "hardware.device: cpu"
        )
