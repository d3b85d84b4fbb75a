"""The authors' released checkpoints: their state dict becomes a checkpoint that inference accepts.

The format is a pickled ``state_dict`` (``<category>_model.pkl``), or the same as safetensors whose keys begin with
``param.``. The architecture is read off the shapes; timesteps and input size are not in the file.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tfcore.methods.base import Fitted
from tfcore.methods.transfusion.settings import (
    NAME,
    PROTOCOLS,
    TRAIN_VERSION,
    TRAINED,
    DiffusionSettings,
    ModelSettings,
    TrainingSettings,
    TransFusionSettings,
    check_together,
)
from tfcore.methods.transfusion.unet import UNet
from tfcore.runs.record import finish_record, run_names, start_record
from tfcore.runs.run import Run
from tfcore.runtime.errors import SettingsError, UserError
from tfcore.runtime.files import sha256_of
from tfcore.settings.sections import DataSettings
from tfcore.training.checkpoint import save_checkpoint

SEED = 3  # the released training script's

# The encoding's frequency is a buffer of theirs and a constant here.
IGNORED = {"model.pos_emb.penc.inv_freq"}

# Their names, by pattern, as the names of `UNet`.
RENAMED = (
    (r"^model\.", ""),
    (r"^image_proj\.", "stem."),
    (r"^time_emb\.linear_", "time.linear"),
    (r"\.time_emb\.", ".time."),
    (r"\.res(\d?)\.", r".residual\1."),
    (r"\.attn\.", ".attention."),
    (r"^(down|up)\.(\d+)\.conv\.", r"\1.\2."),
    (r"^final\.", "anomaly."),
    (r"^final_mean\.", "normal."),
    (r"^final_seg\.", "mask."),
)


def convert_release(
    path: Path | str,
    out: Path | str,
    dataset: str = "unknown",
    category: str = "unknown",
    steps: int = 20,
    size: int = 256,
) -> Path:
    """Convert the authors' file into ``out``/model.safetensors with the settings of protocol ``release``.

    ``dataset`` and ``category`` name the run; ``steps`` and ``size`` (side in pixels) are what it was trained with and
    not in the file. Returns the checkpoint's path. Raises `UserError` with one line that
    names the file and the key that is missing, surplus or misshapen.
    """
    path, out = Path(path), Path(out)
    state, model = released_state(path)
    try:
        settings = release_settings(model, steps, size).model_dump(mode="json")
    except UserError as error:
        raise UserError(f"{path}: its network cannot have these steps and size: {error}") from error
    run = Run(dataset, category, "released", SEED)
    source = sha256_of(path)
    record = start_record(run, "convert-release", settings, source_sha256=source)
    save_checkpoint(out / "model.safetensors", state, run_names(run, NAME) | {"source_sha256": source}, settings)
    finish_record(record, out / "run.json", model_sha256=sha256_of(out / "model.safetensors"))
    return out / "model.safetensors"


def released_weights(folder: str | None, run: Run) -> Fitted:
    """Return the authors' weights of a run's category in place of a training; the shape is that of their network."""
    names = [f"{run.dataset}/{run.category}_model.pkl", f"{run.category}_model.pkl"]
    path = next((Path(folder) / name for name in names if folder and (Path(folder) / name).exists()), None)
    if path is None:
        raise UserError(f"hardware.released_weights: {folder or 'no folder'} has neither {' nor '.join(names)}")
    state, model = released_state(path)
    return Fitted(state, about={"source_sha256": sha256_of(path)}, changed_settings={"model": model.model_dump()})


def released_state(path: Path) -> tuple[dict[str, Tensor], ModelSettings]:
    """Read one of the authors' files; return its tensors under our names, and the shape of their network."""
    state = read_state(path)
    check_values(path, state)
    model = infer_model(path, state)
    try:
        network = UNet(model)
    except SettingsError as error:
        raise UserError(f"{path}: not the released architecture: {error}") from error
    return checked_state(path, state, network), model


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the authors' file without executing code; keys as in their state dict."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            prefix = "param."
            found = load_file(path)
            return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
        with warnings.catch_warnings(action="ignore"):  # torch comments on the file before it refuses it
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise  # names the file and says why it cannot be opened
    except Exception as error:  # what torch raises for foreign bytes is of any kind
        reason = _reason(path, error)
        raise UserError(f"{path}: not a state dict that can be loaded safely (weights only): {reason}") from error
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UserError(f"{path}: holds no mapping of names to tensors; give the authors' <category>_model.pkl")
    return dict(loaded)


def _reason(path: Path, error: Exception) -> str:
    """Say what is wrong with a file; not in torch's words, which advise to load it without the safety."""
    if path.stat().st_size == 0:
        return "it is empty"
    if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"it holds more than tensors ({found[1]})"
    return f"damaged, or of another format ({type(error).__name__})"


def check_values(path: Path, state: dict[str, Tensor]) -> None:
    """Raise `UserError` that names the first tensor without a number in it, or with one that is not finite."""
    for name, value in state.items():
        if value.numel() == 0:
            raise UserError(f"{path}: key '{name}' is empty (shape {_text(value.shape)})")
        if not value.isfinite().all():
            raise UserError(f"{path}: key '{name}' has values that are NaN or infinite")


def infer_model(path: Path, state: dict[str, Tensor]) -> ModelSettings:
    """Read width, multipliers, blocks and attention off the names and shapes of the contracting path."""
    width = _shape(path, state, "model.image_proj.weight")[0]
    multipliers, blocks, attention = [], [0], [False]
    channels = width
    found = [int(match[1]) for name in state if (match := re.match(r"model\.down\.(\d+)\.", name))]
    length = max(found, default=-1) + 1
    for index in range(length):
        place = f"model.down.{index}."
        if any(name.startswith(f"{place}conv.") for name in state):  # a down-sampling: the next resolution begins
            blocks.append(0)
            attention.append(False)
        else:
            out_channels = _shape(path, state, f"{place}res.conv1.weight")[0]
            if blocks[-1] == 0:
                multipliers.append(max(out_channels // channels, 1))
            channels = out_channels
            blocks[-1] += 1
            attention[-1] |= any(name.startswith(f"{place}attn.") for name in state)
    if len(multipliers) != len(blocks):
        raise UserError(f"{path}: key 'model.down.{length}.res.conv1.weight' is missing")
    return ModelSettings(
        width=width,
        multipliers=multipliers,
        blocks=max(blocks),
        attention_levels=sum(attention),
        positional_encoding="row",
    )


def checked_state(path: Path, state: dict[str, Tensor], network: UNet) -> dict[str, Tensor]:
    """Return the state under the names of ``network``, every name and shape compared with it."""
    theirs = {rename(name): name for name in state if name not in IGNORED}
    expected = network.state_dict()
    for name, value in expected.items():
        if name not in theirs:
            raise UserError(f"{path}: key '{original(name)}' is missing")
        found = state[theirs[name]]
        if found.shape != value.shape:
            raise UserError(
                f"{path}: key '{theirs[name]}' has shape {_text(found.shape)}, expected {_text(value.shape)}"
            )
    surplus = [theirs[name] for name in theirs if name not in expected]
    if surplus:
        raise UserError(f"{path}: key '{surplus[0]}' is surplus ({len(surplus)} such), not part of the network")
    return {name: state[theirs[name]] for name in expected}


def rename(name: str) -> str:
    """Return our name of a key of theirs; a name outside ``model.`` keeps it and so stays unknown."""
    if not name.startswith("model."):
        return f"?{name}"
    for pattern, ours in RENAMED:
        name = re.sub(pattern, ours, name)
    return name


def original(name: str) -> str:
    """Return their name of a key of ours."""
    heads = {"stem": "image_proj", "anomaly": "final", "normal": "final_mean", "mask": "final_seg"}
    first, _, rest = name.partition(".")
    if first == "time":
        return f"model.time_emb.{rest.replace('linear', 'linear_')}"
    rest = re.sub(r"residual(\d?)", r"res\1", rest).replace("attention", "attn").replace(".time.", ".time_emb.")
    rest = re.sub(r"^(\d+)\.(weight|bias)$", r"\1.conv.\2", rest)
    return f"model.{heads.get(first, first)}.{rest}"


def release_settings(model: ModelSettings, steps: int, size: int) -> TrainingSettings:
    """Return the training stage's settings under protocol ``release`` for a network of this shape."""
    own = TransFusionSettings(model=model, diffusion=DiffusionSettings(steps=steps)).model_dump(by_alias=True)
    for key, value in PROTOCOLS["release"].items():
        section, _, name = key.partition(".")
        own[section][name] = value
    data = DataSettings(resize=size, crop=size)
    check_together(TransFusionSettings.model_validate(own), data)
    read = {section: own[section] for section in TRAINED}
    names = {"method": NAME, "version": TRAIN_VERSION, "protocol": "release", "data": data}
    return TrainingSettings.model_validate(names | read)


def _shape(path: Path, state: dict[str, Tensor], key: str) -> torch.Size:
    if key not in state:
        raise UserError(f"{path}: key '{key}' is missing")
    if state[key].ndim != 4:
        raise UserError(f"{path}: key '{key}' has shape {_text(state[key].shape)}, expected four dimensions")
    return state[key].shape


def _text(shape: torch.Size) -> str:
    return "x".join(str(size) for size in shape) or "scalar"
