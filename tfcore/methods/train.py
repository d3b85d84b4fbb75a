"""Training of one run by any method: its data, its lock, its record and its files; interrupted, it continues."""

import shutil
from pathlib import Path
from typing import Any

from tfcore.data.training_data import TrainingData
from tfcore.methods.base import Fitted
from tfcore.methods.cpu_guard import check_training
from tfcore.methods.registry import method_named
from tfcore.runs.record import finish_record, read_record, run_names, start_record
from tfcore.runs.run import Run
from tfcore.runtime.device import explained, peak_memory, prepare, reproducible
from tfcore.runtime.files import digest, replacing, sha256_of
from tfcore.settings.sections import DataSettings, HardwareSettings
from tfcore.training.checkpoint import save_checkpoint
from tfcore.training.lock import locked
from tfcore.training.log import TrainingLog
from tfcore.training.loop import Job, epoch_file
from tfcore.training.state import stop_on_signal


def train(
    run: Run,
    settings: dict[str, Any],
    packed: Path,
    textures: Path,
    out: Path,
    work: Path,
    hardware: HardwareSettings,
) -> None:
    """Train one run and write ``model.safetensors``, ``log.csv`` and ``run.json`` into ``out``.

    ``settings`` is ``stage_settings(…, "train")``; ``work`` holds the resume state and is emptied at the end. Raises
    `InterruptedTraining` (exit code 75) after SIGTERM, SIGINT or SIGUSR1 once the state is saved, and `UserError` for
    a loss that is not finite, a full disk, missing rights, too little GPU memory, or paper scale without a GPU.
    """
    method = method_named(settings["method"])
    device = prepare(hardware.device, hardware.threads, hardware.deterministic)
    with (
        explained(f"training {run.id}"),
        reproducible(hardware.deterministic, device),
        stop_on_signal() as stop,
        locked(work.with_name(f"{work.name}.lock"), stop),
    ):
        geometry = DataSettings.model_validate(settings["data"])
        data = TrainingData.load(packed, textures if method.needs_textures else None, geometry, device)
        if is_trained(out, settings, data):
            print(f"{out} holds this training already (to repeat it, remove that folder)", flush=True)
            return
        if device.type == "cpu" and hardware.device == "auto":
            check_training(settings, len(data.images))
        job = Job(run, settings, data.inputs, work, hardware, device, stop)
        record = start_record(run, "train", settings, str(device), **data.inputs)
        fitted = method.fit(job, data)
        _write(out, job, fitted)
        about = {
            "model_sha256": sha256_of(out / "model.safetensors"),
            "checkpoints_sha256": {str(each): sha256_of(epoch_file(out, each)) for each in job.checkpoint_epochs},
            "peak_memory_bytes": peak_memory(device),
        }
        finish_record(record, out / "run.json", **about, **fitted.about)
        shutil.rmtree(work, ignore_errors=True)


def _write(out: Path, job: Job, fitted: Fitted) -> None:
    (fitted.log or TrainingLog(job.work / "log.csv", [], 0, 1)).write(out / "log.csv")
    for epoch in job.checkpoint_epochs:
        source, target = epoch_file(job.work, epoch), epoch_file(out, epoch)
        if source.exists() or not target.exists():  # else a second writer was first and tidied up
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)
    names, settings = run_names(job.run, job.settings["method"]), job.settings | fitted.changed_settings
    save_checkpoint(out / "model.safetensors", fitted.state, names, settings)


def is_trained(out: Path, settings: dict[str, Any], data: TrainingData) -> bool:
    """Return whether ``out`` holds the whole, undamaged result of training with these settings on these data.

    Another job may have finished it: one that outlived its Snakemake, or that this one waited for.
    """
    record, model = read_record(out / "run.json"), out / "model.safetensors"
    files = [model, out / "log.csv", *(epoch_file(out, epoch) for epoch in settings["checkpoint_epochs"])]
    if record is None or not all(file.exists() for file in files):
        return False
    made_from = (record.get("settings_digest"), record.get("inputs", {}).get("pack"), record.get("model_sha256"))
    return made_from == (digest(settings), data.inputs["pack"], sha256_of(model))
