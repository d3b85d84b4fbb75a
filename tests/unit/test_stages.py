"""Runs and their stages: paths, what each stage reads (hence what reruns), which variants share a result."""

import json
from pathlib import Path

import pytest

from tfcore.methods.registry import load_settings
from tfcore.methods.transfusion.method import TransFusion
from tfcore.methods.transfusion.settings import TrainingSettings
from tfcore.runs import stages as stages_module
from tfcore.runs.run import Run
from tfcore.runs.stages import foreground_source, shared_run, shared_variant, stage_settings
from tfcore.runtime.errors import SettingsError
from tfcore.settings.variants import Settings

ROOT = Path(__file__).parents[2]
STAGES = ("pack", "train", "infer", "score", "sweep")


def settings_with(tmp_path: Path, text: str = "") -> Settings:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(text, encoding="utf-8")
    return load_settings(ROOT / "params.yaml", overlay)


def test_paths_hold_the_four_names_in_order():
    run = Run("visa", "capsules", "steps_5", 3)
    assert run.id == "visa/capsules/steps_5/seed3"
    assert run.checkpoint == Path("results/checkpoints/visa/capsules/steps_5/seed3/model.safetensors")
    assert run.maps == Path("results/maps/visa/capsules/steps_5/seed3/maps.safetensors")
    assert run.scores == Path("results/metrics/visa/capsules/steps_5/seed3/scores.csv")
    assert run.images == Path("results/metrics/visa/capsules/steps_5/seed3/images.csv")
    assert run.sweep == Path("results/metrics/visa/capsules/steps_5/seed3/sweep.csv")
    assert run.maps_at(None) == run.maps
    assert run.maps_at(500) == Path("results/maps/visa/capsules/steps_5/seed3/epoch500/maps.safetensors")
    assert run.scores_at(500) == Path("results/metrics/visa/capsules/steps_5/seed3/epoch500/scores.csv")
    assert run.work == Path("work/visa/capsules/steps_5/seed3")
    assert run.packed == Path("data/packed/visa/capsules")
    assert run.manifest == Path("data/manifests/visa/capsules.csv")


@pytest.mark.parametrize(
    ("change", "reread"),
    [
        ("score: {lambda: 0.9}", {"score", "sweep"}),
        ("score: {kernel: 9}", {"score", "sweep"}),
        ("score: {resamples: 10}", {"score", "sweep"}),
        ("sweeps: {lambda: [0.5]}", {"sweep"}),
        ("train: {learning_rate: 1.0e-4}", {"train"}),
        ("tables: {checkpoint_epochs: [500]}", {"train"}),
        ("model: {width: 32}", {"train"}),
        ("diffusion: {steps: 10}", {"train"}),
        ("anomalies: {tiles: 4}", {"train"}),
        ("losses: {normal: 0.5}", {"train"}),
        ("infer: {precision: float32}", {"infer"}),
        ("data: {crop: 200}", {"train"}),
        ("data: {resize: 320}", {"pack", "train"}),
        ("hardware: {device: cpu, save_minutes: 4, infer_batch: 2}", set()),
        ("tables: {inference_steps: [5]}", set()),
        ("run: {seeds: [1], datasets: [visa]}", set()),
        ("datasets: {visa: {title: other}}", set()),
        ("variants: {another: {model.width: 32}}", set()),
    ],
)
def test_a_changed_setting_is_seen_by_exactly_these_stages(change, reread, tmp_path: Path):
    before, after = settings_with(tmp_path), settings_with(tmp_path, change)
    changed = {stage for stage in STAGES if stage_settings(before, stage) != stage_settings(after, stage)}
    assert changed == reread


@pytest.mark.parametrize("stage", STAGES)
def test_stage_settings_are_json_without_a_value_left_open(stage, tmp_path: Path):
    values = stage_settings(settings_with(tmp_path), stage)
    assert json.loads(json.dumps(values)) == values
    for section, names in (("data", ["crop"]), ("model", ["positional_encoding"]), ("score", ["mask_rule"])):
        for name in names:
            assert values.get(section, {}).get(name, "absent") is not None


@pytest.mark.parametrize(
    ("place", "number", "stages"),
    [
        (stages_module, "PACK_VERSION", {"pack", "train"}),
        (TransFusion, "train_version", {"train"}),
        (TransFusion, "infer_version", {"infer"}),
        (stages_module, "SCORE_VERSION", {"score", "sweep"}),
    ],
)
def test_a_raised_version_is_seen_by_its_stages(place, number, stages, tmp_path: Path, monkeypatch):
    before = {stage: stage_settings(settings_with(tmp_path), stage) for stage in STAGES}
    monkeypatch.setattr(place, number, 99)
    after = settings_with(tmp_path)
    assert {stage for stage in STAGES if stage_settings(after, stage) != before[stage]} == stages
    TrainingSettings.model_validate(stage_settings(after, "train"))


def test_a_variant_changes_its_own_stage_settings_only(tmp_path: Path):
    settings = settings_with(tmp_path, "variants: {sharp: {score.kernel: 3}}")
    assert stage_settings(settings, "train", "sharp") == stage_settings(settings, "train", "full")
    assert stage_settings(settings, "score", "sharp") != stage_settings(settings, "score", "full")


@pytest.mark.parametrize(
    ("variant", "train", "infer"),
    [
        ("full", "full", "full"),
        ("steps_20", "full", "full"),
        ("schedule_linear", "full", "full"),
        ("steps_5", "steps_5", "steps_5"),
        ("exact", "full", "exact"),
        ("sharp", "full", "full"),
        ("exact_again", "full", "exact"),
    ],
)
def test_variants_with_equal_settings_share_a_result(variant, train, infer, tmp_path: Path):
    exact = "{infer.precision: float32}"
    overlay = f"variants: {{exact: {exact}, exact_again: {exact}, sharp: {{score.kernel: 3}}}}"
    settings = settings_with(tmp_path, overlay)
    assert shared_variant(settings, "train", variant) == train
    assert shared_variant(settings, "infer", variant) == infer


def test_sharing_follows_the_settings_and_not_the_name(tmp_path: Path):
    settings = settings_with(tmp_path, "diffusion: {steps: 10}")
    assert shared_variant(settings, "train", "steps_10") == "full"
    assert shared_variant(settings, "train", "steps_20") == "steps_20"


def test_intermediate_checkpoints_are_of_the_training_of_the_baseline_alone(tmp_path: Path):
    short = "{train.epochs: 1}"  # has no such epochs, and needs none
    settings = settings_with(tmp_path, f"{{tables: {{checkpoint_epochs: [500, 100]}}, variants: {{short: {short}}}}}")
    epochs = {name: stage_settings(settings, "train", name)["checkpoint_epochs"] for name in settings.variants}
    sharing = {name for name in settings.variants if shared_variant(settings, "train", name) == "full"}
    assert sharing == {"full", "steps_20", "schedule_linear"}  # as without intermediate checkpoints
    assert epochs == {name: [100, 500] if name in sharing else [] for name in settings.variants}


def test_intermediate_checkpoints_of_a_baseline_do_not_part_it_from_its_equals(tmp_path: Path):
    tables = "{baseline: steps_5, checkpoint_epochs: [3]}"
    settings = settings_with(tmp_path, f"{{tables: {tables}, variants: {{same: {{diffusion.steps: 5}}}}}}")
    assert stage_settings(settings, "train", "same")["checkpoint_epochs"] == [3]
    assert stage_settings(settings, "train", "full")["checkpoint_epochs"] == []
    assert shared_variant(settings, "train", "same") == "steps_5"


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        ("[0]", r"tables\.checkpoint_epochs\.0: Input should be greater than 0"),
        ("[1500, 1501]", r"tables\.checkpoint_epochs: epoch 1501 is not within 1 … 1500, the epochs of the baseline"),
        ("[5, 5]", r"tables\.checkpoint_epochs: 5 is there twice"),
    ],
)
def test_an_epoch_that_the_baseline_never_reaches_is_refused(epochs, message, tmp_path: Path):
    with pytest.raises(SettingsError, match=rf"overlay\.yaml: {message}"):
        settings_with(tmp_path, f"tables: {{checkpoint_epochs: {epochs}}}")


def test_ablations_can_be_kept_to_some_categories(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    run = settings.run.model_copy(update={"ablation_categories": {"visa": ["pcb1"]}})
    tables = settings.tables.model_copy(update={"compare": ["steps_5"]})
    some = settings.model_copy(update={"run": run, "tables": tables})
    everything = settings.datasets["visa"].categories
    assert some.covered_categories("visa", "no_mask_loss") == ["pcb1"]
    assert some.covered_categories("visa", "full") == everything
    assert some.covered_categories("visa", "steps_5") == everything
    assert some.covered_categories("mvtec_ad", "no_mask_loss") == settings.datasets["mvtec_ad"].categories


@pytest.mark.parametrize("protocol", ["paper", "release"])
def test_released_weights_are_never_those_of_a_variant_with_equal_settings(protocol, tmp_path: Path):
    released = {"protocol": "release", "train.epochs": 0, "train.released": True}
    variants = {"untrained": {"train.epochs": 0}, "released": released}
    settings = settings_with(tmp_path, f"{{protocol: {protocol}, variants: {json.dumps(variants)}}}")
    for stage in ("train", "infer"):
        assert shared_variant(settings, stage, "released") == "released"
        assert shared_variant(settings, stage, "untrained") == "untrained"


def test_the_shared_run_has_the_other_variant_alone(tmp_path: Path):
    settings = settings_with(tmp_path)
    assert shared_run(settings, "train", Run("visa", "pcb1", "steps_20", 3)) == Run("visa", "pcb1", "full", 3)
    assert shared_run(settings, "infer", Run("visa", "pcb1", "steps_5", 3)) == Run("visa", "pcb1", "steps_5", 3)


def test_foregrounds_are_told_by_kind_and_not_by_their_folder(tmp_path: Path):
    settings = settings_with(tmp_path, "datasets: {visa: {foregrounds: /home/me/sam}, mvtec_ad: {foregrounds: /sam}}")
    kinds = {
        foreground_source(settings.datasets[name], each) for name, each in (("visa", "pcb1"), ("mvtec_ad", "screw"))
    }
    assert kinds == {"given"}
    assert foreground_source(settings.datasets["mvtec_ad"], "carpet") == "everywhere"
    assert foreground_source(load_settings(ROOT / "params.yaml").datasets["visa"], "pcb1") == "found"
