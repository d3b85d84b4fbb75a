import csv
import errno
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from unittest.mock import Mock

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tiny_training import CPU, RUN, SIZE, TRAIN, make_packed, settings_of

import tfcore.methods.train
import tfcore.methods.transfusion.train
import tfcore.runtime.files
from tfcore.data.training_data import TrainingData
from tfcore.methods.cpu_guard import check_training
from tfcore.methods.train import train
from tfcore.methods.transfusion.settings import TrainingSettings
from tfcore.methods.transfusion.train import AdamW, Training, new_network
from tfcore.runs.run import Run
from tfcore.runtime.device import precision_name
from tfcore.runtime.errors import InterruptedTraining, UserError
from tfcore.runtime.files import digest, read_json, sha256_of
from tfcore.training.log import TrainingLog
from tfcore.training.loop import learning_rate


@pytest.fixture
def folders(tmp_path):
    packed, textures = make_packed(tmp_path)
    return packed, textures, tmp_path


def run_training(folders, name="a", run=RUN, hardware=CPU, **sections):
    packed, textures, base = folders
    out = base / name
    train(run, settings_of(**sections), packed, textures, out, base / f"work-{name}", hardware)
    return out


def checkpoints_of(*epochs):
    """Settings with intermediate checkpoints."""
    return {"tables": {"checkpoint_epochs": list(epochs)}}


def rows_of(out):
    with (out / "log.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "images_per_second"} for row in csv.DictReader(file)]


def at_step(monkeypatch, number, action):
    """Call ``action`` on the loss terms of one step."""
    original = Training.step

    def step(self, index):
        terms = original(self, index)
        return action(terms) if index == number else terms

    monkeypatch.setattr(Training, "step", step)


def test_same_seed_same_bits_and_another_seed_other_weights(folders):
    first = (run_training(folders, "a") / "model.safetensors").read_bytes()
    assert (run_training(folders, "b") / "model.safetensors").read_bytes() == first
    other = load_file(run_training(folders, "c", run=Run("toy", "disc", seed=1)) / "model.safetensors")
    weights = load_file(folders[2] / "a/model.safetensors")
    assert not torch.equal(weights["stem.weight"], other["stem.weight"])


def test_training_learns_and_leaves_its_record(folders):
    out = run_training(folders, train={"epochs": 12, "learning_rate": 3e-3})
    rows = rows_of(out)
    assert [int(row["step"]) for row in rows] == [4 * i for i in range(1, 10)]
    assert [int(row["epoch"]) for row in rows][-1] == 12
    assert float(rows[-1]["total"]) < 0.9 * float(rows[0]["total"])
    parts = sum(float(rows[0][name]) for name in ("mask", "anomaly", "normal", "consistency"))
    assert parts == pytest.approx(float(rows[0]["total"]), rel=1e-4)
    record = read_json(out / "run.json")
    assert record["steps"] == 36 and record["parameters"] > 0
    assert record["precision"] == precision_name("auto", torch.device("cpu"))  # bfloat16 where the CPU has its units
    assert not (folders[2] / "work-a").exists()


def test_zero_epochs_save_the_seeded_untrained_network(folders):
    out = run_training(folders, train={"epochs": 0})
    weights = load_file(out / "model.safetensors")
    expected = new_network(TrainingSettings.model_validate(settings_of()), 0).state_dict()
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    assert rows_of(out) == []


def test_making_a_network_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    new_network(TrainingSettings.model_validate(settings_of()), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_image_is_seen_once_per_epoch_in_another_order(folders):
    packed, textures, _ = folders
    settings = TrainingSettings.model_validate(settings_of())
    training = Training(0, settings, TrainingData.load(packed, textures, settings.data, torch.device("cpu")), CPU)
    epochs = [[training.indices(3 * epoch + i) for i in range(3)] for epoch in range(2)]
    assert [len(batch) for batch in epochs[0]] == [4, 4, 2]
    assert all(sorted(torch.cat(epoch).tolist()) == list(range(TRAIN)) for epoch in epochs)
    assert torch.cat(epochs[0]).tolist() != torch.cat(epochs[1]).tolist()


@pytest.mark.parametrize(("schedule", "expected"), [("step", [1e-3] * 6 + [1e-4] * 9), ("one_cycle", None)])
def test_learning_rate_schedules(folders, monkeypatch, schedule, expected):
    packed, textures, _ = folders
    chosen = TrainingSettings.model_validate(settings_of(train={"schedule": schedule, "drop_epoch": 2}))
    data = TrainingData.load(packed, textures, chosen.data, torch.device("cpu"))
    training = Training(0, chosen, data, CPU)
    rates = []
    for number in range(training.steps):
        rates.append(learning_rate(training))
        training.step(number)
    if expected:
        assert rates == pytest.approx(expected)
    else:
        assert max(rates) <= 1e-3 and rates[4] > 20 * rates[0] and rates[-1] < rates[0]


def test_intermediate_checkpoints_are_the_weights_of_a_shorter_training(folders):
    long = run_training(folders, "long", train={"epochs": 5}, **checkpoints_of(2))
    short = run_training(folders, "short", train={"epochs": 2})
    early, expected = load_file(long / "epoch2.safetensors"), load_file(short / "model.safetensors")
    assert read_json(long / "run.json")["checkpoints_sha256"] == {"2": sha256_of(long / "epoch2.safetensors")}
    assert all(torch.equal(early[name], expected[name]) for name in expected)


def test_a_signal_saves_the_state_and_the_same_call_ends_with_the_same_bits(folders, monkeypatch):
    whole = run_training(folders, "whole", **checkpoints_of(1, 4))
    moments = {0: signal.SIGTERM, 5: signal.SIGINT, 9: signal.SIGUSR1}  # within a row of the log, and on its border
    for number, sent in moments.items():
        with monkeypatch.context() as patch:
            at_step(patch, number, lambda terms, sent=sent: (os.kill(os.getpid(), sent), terms)[1])
            with pytest.raises(InterruptedTraining, match=f"{sent.name} after step {number + 1} of 15") as stopped:
                run_training(folders, "cut", **checkpoints_of(1, 4))
            assert stopped.value.exit_code == 75
        assert not (folders[2] / "cut/model.safetensors").exists()
    cut = run_training(folders, "cut", **checkpoints_of(1, 4))
    for name in ("model.safetensors", "epoch1.safetensors", "epoch4.safetensors"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert rows_of(cut) == rows_of(whole)
    assert read_json(cut / "run.json")["resumed_after_step"] == 10


def test_a_terminal_shows_a_bar_with_the_time_left(tmp_path, monkeypatch):
    reader, writer = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with os.fdopen(writer, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        with TrainingLog(tmp_path / "log.csv", ["total"], 400, 10) as log:
            for _ in range(4):
                log.add(torch.ones(1), 1e-3, 4)
                time.sleep(0.05)
            log.write_row()
    shown = b""
    with suppress(OSError):  # so a terminal says that its other side is closed
        while part := os.read(reader, 1 << 16):
            shown += part
    os.close(reader)
    assert re.search(r"loss 1\.0000 .* 4/400.*0:0\d:\d\d", shown.decode())


def test_the_textures_that_were_used_are_recorded_and_others_do_not_continue_a_training(folders, monkeypatch, capfd):
    textures = folders[1]
    whole = run_training(folders, "whole")
    used = read_json(textures / "pack.json")
    assert read_json(whole / "run.json")["inputs"]["textures"] == digest(used)
    with monkeypatch.context() as patch:
        at_step(patch, 9, lambda terms: (os.kill(os.getpid(), signal.SIGTERM), terms)[1])
        with pytest.raises(InterruptedTraining):
            run_training(folders, "cut")
    others = used | {"sha256": "another"}
    (textures / "pack.json").write_text(json.dumps(others))
    cut = run_training(folders, "cut")
    assert "not resumed: it belongs to another textures" in capfd.readouterr().err
    record = read_json(cut / "run.json")
    assert record["resumed_after_step"] == 0 and record["inputs"]["textures"] == digest(others)
    before = (whole / "run.json").read_bytes()
    run_training(folders, "whole")  # what is finished stays, as when somebody else's textures are a part of these
    assert (whole / "run.json").read_bytes() == before


def test_signal_handlers_are_restored(folders):
    before = signal.getsignal(signal.SIGTERM)
    run_training(folders, train={"epochs": 1})
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_loss_that_is_not_finite_names_step_terms_and_rate(folders, monkeypatch):
    hardware = CPU.model_copy(update={"save_minutes": 1e-9, "log_every": 4})
    at_step(monkeypatch, 6, lambda terms: terms * float("nan"))
    with pytest.raises(UserError, match=r"step 7 is not finite \(mask nan, .*; learning rate 0.001\)"):
        run_training(folders, hardware=hardware)
    states = sorted(path.name for path in (folders[2] / "work-a").glob("state-*"))
    assert states[-1] == "state-000000006.pt"  # the last good one stays
    assert not (folders[2] / "a").exists()


def poison_gradient(monkeypatch, number, value):
    """Give one gradient of step ``number`` (from 0) a value that its loss does not show."""
    at = []
    original, backward = Training.step, torch.autograd.backward

    def poisoned(loss):
        backward(loss)
        if at[-1][1] == number:
            at[-1][0].network.normal.weight.grad[0, 0, 0, 0] = value

    monkeypatch.setattr(Training, "step", lambda self, index: (at.append((self, index)), original(self, index))[1])
    monkeypatch.setattr(torch.autograd, "backward", poisoned)


def test_the_rate_in_a_message_is_that_of_the_step_it_names(folders, monkeypatch):
    """Step 6 is the last one before the rate drops; both faults are noticed after it."""
    dropping = {"drop_epoch": 2}
    with monkeypatch.context() as patch:
        at_step(patch, 5, lambda terms: terms * float("inf"))
        with pytest.raises(UserError, match=r"step 6 is not finite \(mask .*; learning rate 0\.001\)"):
            run_training(folders, train=dropping)
    poison_gradient(monkeypatch, 5, float("nan"))
    with pytest.raises(UserError, match=r"is not finite after step 6 \(learning rate 0\.001\)"):
        run_training(folders, "b", train=dropping, **checkpoints_of(2))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])  # 1e30: only the optimiser's square overflows
@pytest.mark.parametrize("saving", [False, True])
def test_a_last_gradient_that_is_not_finite_leaves_no_checkpoint(folders, monkeypatch, value, saving):
    hardware = CPU.model_copy(update={"save_minutes": 1e-9}) if saving else CPU
    poison_gradient(monkeypatch, 5, value)
    with pytest.raises(UserError, match=r"normal\.weight is not finite after step 6 \(learning rate 0\.001\)"):
        run_training(folders, hardware=hardware, train={"epochs": 2})
    states = sorted(path.name for path in (folders[2] / "work-a").glob("state-*"))
    assert states[-1:] == (["state-000000005.pt"] if saving else [])
    assert not (folders[2] / "a").exists()


def test_no_intermediate_checkpoint_and_no_signal_saves_weights_that_are_not_finite(folders, monkeypatch):
    with monkeypatch.context() as patch:
        poison_gradient(patch, 5, float("nan"))
        with pytest.raises(UserError, match="is not finite after step 6"):
            run_training(folders, "early", **checkpoints_of(2))
    assert not list(folders[2].rglob("epoch2.safetensors"))
    with monkeypatch.context() as patch:
        at_step(patch, 5, lambda terms: (os.kill(os.getpid(), signal.SIGTERM), terms)[1])
        poison_gradient(patch, 5, float("nan"))
        with pytest.raises(UserError, match="is not finite after step 6"):
            run_training(folders, "signal")
    assert not list(folders[2].rglob("state-*"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "results"), "cannot write results: Permission denied"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory; let fewer jobs share it"),
    ],
)
def test_faults_become_one_line(folders, monkeypatch, fault, message):
    def fail(*_):
        raise fault

    monkeypatch.setattr(tfcore.methods.train, "save_checkpoint", fail)
    with pytest.raises(UserError, match=message) as error:
        run_training(folders, train={"epochs": 1})
    assert "\n" not in str(error.value) and "toy/disc" in str(error.value)


def test_a_disk_that_fills_up_leaves_the_last_good_state_and_no_part_of_a_file(folders, monkeypatch):
    whole = run_training(folders, "whole")
    sync, calls = os.fsync, iter(range(100))

    def full(descriptor):
        if next(calls) == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    hardware = CPU.model_copy(update={"save_minutes": 1e-9})
    with monkeypatch.context() as patch:
        patch.setattr(tfcore.runtime.files.os, "fsync", full)
        with pytest.raises(UserError, match=r"^training toy/disc/full/seed0: the disk is full; free some space and"):
            run_training(folders, "cut", hardware=hardware)
    left = sorted(path.name for path in (folders[2] / "work-cut").iterdir() if "state" in path.name)
    assert left and all(name.startswith("state-") for name in left) and not (folders[2] / "cut").exists()
    cut = run_training(folders, "cut")
    assert read_json(cut / "run.json")["resumed_after_step"] > 0
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_an_output_folder_below_a_file_is_one_line(folders):
    (folders[2] / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        run_training(folders, "file/below", train={"epochs": 0})


@pytest.mark.parametrize("epochs", [1500, 60, 3])
def test_paper_scale_without_a_gpu_is_refused(epochs):
    model = {"width": 32, "groups": 8, "multipliers": [1, 2, 2, 2], "blocks": 1, "attention_levels": 2}
    settings = settings_of(data={"resize": 256, "crop": 224}, model=model, train={"epochs": epochs})
    refused = r"\d+ days on two CPU cores: try `make demo`.*hardware\.device: cpu"
    with pytest.raises(UserError, match=refused) if epochs == 1500 else nullcontext():
        check_training(settings, 300)


def test_a_pack_of_another_size_is_refused(folders):
    message = f"{folders[0]}: packed at {SIZE} pixels, but data.resize is {SIZE + 8}; pack the category again"
    with pytest.raises(UserError, match=re.escape(message)):
        run_training(folders, data={"resize": SIZE + 8})
    assert not (folders[2] / "a").exists()


def test_training_without_a_gpu_is_refused_before_it_begins_and_can_be_insisted_on(folders, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(tfcore.methods.train, "check_training", lambda *words: asked.append(words))
    monkeypatch.setattr(tfcore.methods.transfusion.train, "run_steps", Mock(side_effect=UserError("begun")))
    for device in ("auto", "cpu"):
        with pytest.raises(UserError, match="begun"):
            run_training(folders, hardware=CPU.model_copy(update={"device": device}))
    assert asked == [(settings_of(), TRAIN)]


def test_the_optimiser_is_torchs_to_the_bit():
    start = torch.linspace(-1, 1, 12).view(3, 4)
    results = []
    for make in (AdamW, torch.optim.AdamW):
        weight = torch.nn.Parameter(start.clone())
        optimiser = make([weight], lr=0.1, weight_decay=0.01, fused=True)
        for _ in range(3):
            weight.square().sum().backward()
            optimiser.step()
            optimiser.zero_grad()
        results.append(weight)
    assert torch.equal(*results) and not torch.equal(results[0], start)


def test_the_optimiser_works_saves_and_resumes_without_the_compiler():
    code = (
        "import sys, torch; from tfcore.methods.transfusion.train import AdamW\n"
        "weight = torch.nn.Parameter(torch.ones(2)); optimiser = AdamW([weight], fused=True)\n"
        "weight.sum().backward(); optimiser.step(); optimiser.zero_grad()\n"
        "optimiser.load_state_dict(optimiser.state_dict())\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
