"""The plan counts what is to do from the files that are there, and names the source of every estimate."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tfcore.cli.operations  # noqa: F401
from tfcore.cli import app
from tfcore.methods.registry import METHODS, load_settings, parse_settings
from tfcore.methods.transfusion.operations import network_calls
from tfcore.operations.plan import image_counts, make_plan
from tfcore.runs.needed import TARGETS, needed_by, selected_runs
from tfcore.runs.run import Run
from tfcore.runs.stages import Result, foreground_source, stage_settings
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import digest

VALUES = {
    "run": {"datasets": ["made"], "sweep_variants": ["full"]},
    "datasets": {"made": {"title": "Made", "layout": "mvtec", "categories": ["a", "b"], "counts": {"a": [16, 4, 4]}}},
    "textures": {},
    "data": {"resize": 32, "crop": 32},
    "model": {"width": 8, "multipliers": [1, 2], "groups": 4, "blocks": 1, "attention_levels": 1},
    "train": {"epochs": 10, "batch_size": 8},
    "variants": {
        "full": {},
        "same": {"diffusion.steps": 20},
        "short": {"train.epochs": 5},
        "few": {"diffusion.steps": 5},
    },
}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return parse_settings(VALUES, "test")


def finish(settings, run, stage, epoch=None, **more):
    """Leave the files of a finished stage, made from those of the stage before it."""
    inputs = {
        "train": {"manifest_sha256": None, "foreground": foreground_source(settings.datasets["made"], run.category)},
        "infer": {"manifest_sha256": None, "checkpoint_sha256": "m" if epoch is None else f"m{epoch}"},
        "score": {"maps_sha256": "maps"},
        "sweep": {"maps_sha256": "maps"},
    }
    outputs = {
        "train": {"model_sha256": "m", "checkpoints_sha256": {"4": "m4", "8": "m8"}},
        "infer": {"maps_sha256": "maps"},
    }
    result = Result(stage, run, epoch)
    result.file.parent.mkdir(parents=True, exist_ok=True)
    result.file.write_bytes(b"content")
    stage_values = stage_settings(settings, stage, run.variant)
    record = {"settings": stage_values, "settings_digest": digest(stage_values), "inputs": inputs[stage]}
    result.record.write_text(json.dumps(record | outputs.get(stage, {}) | more))


def finish_all(settings, run):
    """Leave the files of all stages of a run."""
    for stage in ("train", "infer", "score", "sweep"):
        finish(settings, run, stage)


def one_category(**sections):
    """Return settings with the category that has counts alone."""
    return parse_settings(
        VALUES | {"datasets": {"made": VALUES["datasets"]["made"] | {"categories": ["a"]}}} | sections, "test"
    )


def test_shared_results_are_counted_once(settings):
    plan = make_plan(settings)
    assert len(selected_runs(settings, settings.selected_variants)) == 8
    assert plan.count("train") == (0, 6)  # full, short, few; `same` is full
    assert plan.count("infer") == (0, 6)
    assert plan.count("score") == (0, 8)
    assert plan.count("sweep") == (0, 2)


def test_intermediate_checkpoints_are_inferred_and_scored_as_well(settings):
    settings = parse_settings(VALUES | {"tables": {"checkpoint_epochs": [4, 8]}}, "test")
    plan = make_plan(settings)
    assert plan.count("train") == (0, 6)
    assert plan.count("infer") == (0, 6 + 2 * 2)
    assert plan.count("score") == (0, 8 + 2 * 2)
    finish(settings, Run("made", "a"), "train")
    finish(settings, Run("made", "a"), "infer", epoch=8)
    assert make_plan(settings).count("infer") == (1, 10)
    done = [task.result for task in make_plan(settings).tasks if task.done]
    assert [result.epoch for result in done if result.stage == "infer"] == [8]


def test_a_target_counts_what_it_stands_on(settings):
    def counts(*targets):
        plan = make_plan(settings, targets=list(targets))
        return [plan.count(stage)[1] for stage in ("train", "infer", "score", "sweep")]

    assert counts("table1") == [0, 0, 0, 0]  # nothing like VisA here
    assert counts("table2") == counts("table3") == counts("table2", "table7") == [2, 2, 2, 0]
    assert counts("table5") == counts("table1", "table5") == [1, 0, 0, 0]
    assert counts("table4") == counts("ablations") == counts("all_tables") == counts() == [6, 6, 8, 2]
    assert counts("checkpoints") == [6, 0, 0, 0]
    assert counts("maps") == [6, 6, 0, 0]
    assert make_plan(settings, targets=["table1"]).disk == {}


def test_only_the_tables_of_epochs_need_the_intermediate_checkpoints(settings):
    settings = parse_settings(VALUES | {"tables": {"checkpoint_epochs": [4, 8]}}, "test")
    assert make_plan(settings, targets=["table9"]).count("score") == (0, 2 + 2 * 2)
    assert make_plan(settings, targets=["table7"]).count("score") == (0, 2)
    maps = make_plan(settings, targets=["maps"])
    assert (maps.count("infer"), maps.count("score")) == ((0, 6 + 2 * 2), (0, 0))


def test_targets_at_the_papers_scale(tmp_path):
    params, overlay = Path(__file__).parents[2] / "params.yaml", tmp_path / "epochs.yaml"
    overlay.write_text("tables: {checkpoint_epochs: [500]}")
    paper, early = load_settings(params), load_settings(params, overlay)

    def scored(settings, *targets):
        return [result for result in needed_by(settings, list(targets)) if result.stage == "score"]

    assert [len(scored(paper, f"table{number}")) for number in (1, 2, 3, 5, 6)] == [12, 15, 27, 0, 12]
    assert len(scored(paper, "all_tables")) == 27 * 15
    assert [result.epoch for result in scored(early, "table1", "table9")] == [None] * 27 + [500] * 15
    for target in TARGETS:
        assert needed_by(paper, [target]), target
    together = needed_by(paper, list(TARGETS))
    assert len(together) == len(set(together)) == len(needed_by(paper, ["all_tables", "maps"]))


def test_unknown_target_is_refused(settings):
    with pytest.raises(UserError, match=r"no such target 'tabel1' \(known: all_tables, .*table9"):
        make_plan(settings, targets=["table1", "tabel1"])


def test_scorings_take_as_long_as_those_that_are_done(settings):
    assert make_plan(settings).seconds("score") is None
    for seed, seconds in enumerate((10, 20, 90)):
        file = Path(f"logs/benchmarks/score_maps/made/a/full/seed{seed}.tsv")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0\t1\n")
    plan = make_plan(settings)
    assert plan.seconds("score") == 8 * 20
    assert "time of a sweep: none was done here yet" in plan.unknown


def test_ablations_on_few_categories_and_sweeps_of_other_variants(settings):
    run = {"datasets": ["made"], "variants": ["full", "few"], "sweep_variants": ["short"]}
    settings = parse_settings(VALUES | {"run": run | {"ablation_categories": {"made": ["a"]}}}, "test")
    plan = make_plan(settings)
    assert plan.count("score") == (0, 3)  # full on a and b, few on a
    assert plan.count("sweep") == (0, 1)  # short on a
    assert plan.count("train") == (0, 4)


def test_nothing_measured_is_unknown_not_zero(settings):
    plan = make_plan(settings)
    assert plan.seconds("train") is None
    assert "speed of train: nothing was measured yet" in plan.unknown
    assert any("made/b: number of images" in line for line in plan.unknown)


def test_estimate_follows_the_measured_speed(settings):
    settings = one_category()
    run = Run("made", "a")
    finish(settings, run, "train", images_per_second=40.0, device="Some GPU")
    plan = make_plan(settings)
    assert plan.count("train") == (1, 3)
    # `short` trains 16 images × 5 epochs, `few` 16 × 10, both at 40 images per second.
    assert plan.seconds("train") == pytest.approx(16 * 5 / 40 + 16 * 10 / 40)
    (speed,) = plan.speeds["train"]
    assert (speed.device, speed.source, speed.same_network) == ("Some GPU", "1 run done here", True)


def test_inference_costs_one_call_per_timestep(settings):
    settings = one_category()
    run = Run("made", "a")
    finish(settings, run, "train", images_per_second=40.0, device="Some GPU")
    finish(settings, run, "infer", seconds_per_image=2.0, device="Some GPU")
    plan = make_plan(settings)
    assert plan.count("infer") == (1, 3)
    # 8 test images: `short` has 20 calls like the measured run, `few` has 5.
    assert plan.seconds("infer") == pytest.approx(8 * 2.0 + 8 * 2.0 * 5 / 20)
    assert plan.longest()[0] == Run("made", "a", "short")


def test_training_that_stands_in_the_middle_counts_by_its_steps(settings):
    settings = one_category()
    finish(settings, Run("made", "a"), "train", images_per_second=40.0, device="Some GPU")
    before = make_plan(settings).seconds("train")
    work = Run("made", "a", "few").work
    work.mkdir(parents=True)
    (work / "log.csv").write_text("step,epoch,images_per_second\n5,3,7\n10,5,8\n")  # of 20 steps
    assert make_plan(settings).seconds("train") == pytest.approx(before - 16 * 10 / 40 / 2)


def test_trainings_that_have_begun_give_the_first_estimate(settings):
    work = Run("made", "a").work
    work.mkdir(parents=True)
    (work / "log.csv").write_text("step,epoch,images_per_second\n10,5,8\n")
    plan = make_plan(settings)
    assert plan.speeds["train"][0].source == "trainings that have begun"
    seconds = next(task.seconds for task in plan.left("train") if task.result.run == Run("made", "a"))
    assert seconds == pytest.approx(16 * 10 / 8 / 2)  # half of the 20 steps are done


def test_changed_setting_makes_a_training_to_do(settings):
    run = Run("made", "a")
    finish(settings, run, "train", images_per_second=40.0, device="Some GPU")
    assert make_plan(settings).count("train")[0] == 1
    changed = parse_settings(VALUES | {"train": {"epochs": 10, "batch_size": 8, "learning_rate": 1e-3}}, "test")
    assert make_plan(changed).count("train")[0] == 0


def test_benchmark_gives_the_speed(settings, tmp_path):
    file = tmp_path / "train.csv"
    columns = {"device": "NVIDIA H200", "network": "another", "what": "training step"}
    columns["optimised_operations_per_s"] = 300e9
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(columns))
        writer.writeheader()
        writer.writerow(columns)
        for rate in (40e9, 160e9, 80e9):  # by batch size
            writer.writerow(columns | {"what": "reverse process, T = 20", "optimised_operations_per_s": rate})
    plan = make_plan(settings, [file])
    (speed,), (inference,) = plan.speeds["train"], plan.speeds["infer"]
    assert speed.device == "NVIDIA H200"
    assert not speed.same_network
    assert "rough" in str(speed)
    assert (speed.operations_per_second, inference.operations_per_second) == (300e9, 160e9)
    assert (speed.source, inference.source) == (str(file), str(file))
    network = METHODS["transfusion"].network(stage_settings(settings, "train"))
    file.write_text(file.read_text().replace("another", f'"{network}"'))
    assert [speed.same_network for (speed,) in make_plan(settings, [file]).speeds.values()] == [True, True]


@pytest.mark.parametrize(
    "content",
    [
        b"what,device\ntraining step,GPU\n",
        b"what,device,network,optimised_operations_per_s\ntraining step,GPU\n",
        b"what,device,network,optimised_operations_per_s\ntraining step,GPU,some,fast\n",
        b"# Words\n\nThat are no table.\n",
        b"what,device\nsynthetic anomalies,GPU\n",
        b"\x8d\xff\x00\n",
        b"what,device\n\x00\n",
        b"",
    ],
)
def test_file_that_is_no_benchmark_is_refused(settings, tmp_path, content):
    file = tmp_path / "other.csv"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"other\.csv") as refused:
        make_plan(settings, [file])
    assert "\n" not in str(refused.value)


def test_counts_come_from_the_pack_before_the_settings(settings, tmp_path):
    assert image_counts(settings, "made", "a") == (16, 8)
    assert image_counts(settings, "made", "b") is None
    folder = tmp_path / "data/packed/made/a"
    folder.mkdir(parents=True)
    (folder / "index.csv").write_text("file,split,label,defect\n1,train,0,good\n2,test,0,good\n3,test,1,cut\n")
    assert image_counts(settings, "made", "a") == (1, 2)


def test_paper_network_has_the_size_and_operations_of_the_paper(settings):
    values = VALUES | {"model": {}, "data": {"resize": 256, "crop": 256}}
    stage, method = stage_settings(parse_settings(values, "test"), "train"), METHODS["transfusion"]
    assert method.weights_bytes(stage) / 4 == pytest.approx(54.56e6, rel=0.01)
    cost = method.operations(stage)
    assert cost.step == pytest.approx(3 * 367e9, rel=0.05)  # a backward pass counts as two forward ones
    assert cost.inference == pytest.approx(20 * 367e9, rel=0.05)
    assert cost.training == 10 * cost.step


def test_released_schedule_calls_the_network_less_often(settings):
    assert network_calls(settings.diffusion.model_copy(update={"beta_grid": "t_over_T"})) == 20
    assert network_calls(settings.diffusion.model_copy(update={"beta_grid": "linspace"})) == 18


def test_command_prints_counts_and_what_is_unknown(settings, tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text(json.dumps(VALUES))
    result = CliRunner().invoke(app, ["plan", "--params", str(params)])
    assert result.exit_code == 0, result.output
    assert "trainings" in result.output
    assert "unknown: speed of train" in result.output
    assert "longest chain: fetch" in result.output


def counts(settings):
    plan = make_plan(settings)
    return [plan.count(stage)[0] for stage in ("train", "infer", "score", "sweep")]


def test_what_other_settings_made_is_to_do(settings):
    settings = one_category()
    finish_all(settings, Run("made", "a"))
    assert counts(settings) == [1, 1, 1, 1]
    assert counts(one_category(score={"lambda": 0.5})) == [1, 1, 0, 0]
    assert counts(one_category(sweeps={"kernel": [3]})) == [1, 1, 1, 0]
    assert counts(one_category(infer={"precision": "float32"})) == [1, 0, 0, 0]
    surface = VALUES["datasets"]["made"] | {"categories": ["a"], "textures": ["a"]}
    assert counts(one_category(datasets={"made": surface})) == [0, 0, 0, 0]


def test_maps_of_earlier_weights_and_scores_of_earlier_maps_are_to_do(settings):
    settings, run = one_category(tables={"checkpoint_epochs": [4]}), Run("made", "a")
    finish_all(settings, run)
    finish(settings, run, "infer", epoch=4)
    finish(settings, run, "score", epoch=4)
    assert counts(settings) == [1, 2, 2, 1]
    finish(settings, run, "train", model_sha256="trained again")
    assert counts(settings) == [1, 1, 1, 0]  # those of the epoch
    finish(settings, run, "train", checkpoints_sha256={"4": "trained again"})
    assert counts(settings) == [1, 1, 1, 1]
    finish(settings, run, "infer", maps_sha256="inferred again")
    finish(settings, run, "train")
    assert counts(settings) == [1, 2, 1, 0]


def test_where_given_foregrounds_lie_decides_nothing(settings):
    def given(folder):
        return one_category(
            datasets={"made": VALUES["datasets"]["made"] | {"categories": ["a"], "foregrounds": folder}}
        )

    finish_all(given("/mine"), Run("made", "a"))
    assert counts(given("/mine")) == counts(given("/of/a/colleague")) == [1, 1, 1, 1]
    assert "/mine" not in Run("made", "a").checkpoint.with_name("run.json").read_text()
    assert counts(given(None)) == [0, 0, 0, 0]


def test_nothing_is_written_and_no_chain_is_left_when_all_is_done(settings):
    settings = one_category(variants={"full": {}})
    plan = make_plan(settings)
    assert set(plan.disk) == {"checkpoints", "anomaly maps", "packed images"}
    assert plan.chain == ["fetch", "check", "pack", "train", "infer", "score", "gather", "report"]
    finish_all(settings, Run("made", "a"))
    plan = make_plan(settings)
    assert (plan.disk, plan.chain) == ({}, [])


def test_data_are_written_for_what_is_left_textures_too(settings, tmp_path):
    textures = {"archive": {"bytes": 1000}, "size": 10, "limit": 7}
    made = VALUES["datasets"]["made"] | {"categories": ["a"], "archive": {"bytes": 500}}
    settings = one_category(variants={"full": {}}, textures=textures, datasets={"made": made})
    disk = make_plan(settings).disk
    assert disk["packed images"] == 32**2 * (4 * 16 + 5 * 8) + 3 * 7 * 10**2
    assert disk["textures: archive and its files"] == 2 * 1000
    assert disk["made: archive and its files"] == 2 * 500
    (tmp_path / "set.tar").write_bytes(bytes(300))
    settings = one_category(variants={"full": {}}, datasets={"made": made | {"local": "set.tar"}})
    assert make_plan(settings).disk["made: archive and its files"] == 300
    finish(settings, Run("made", "a"), "train")
    assert not any("textures" in kind for kind in make_plan(settings).disk)  # inference needs none
    for folder in ("made/a", "textures"):
        (tmp_path / "data/packed" / folder).mkdir(parents=True)
        (tmp_path / "data/packed" / folder / "pack.json").touch()
    assert set(make_plan(settings).disk) == {"anomaly maps"}


@pytest.mark.parametrize(
    ("target", "ends"),
    [
        ("checkpoints", ["train"]),
        ("maps", ["infer"]),
        ("metrics", ["score", "gather"]),
        ("table3", ["score", "table"]),
        ("table5", ["train", "table"]),
        ("ablations", ["gather", "figure"]),
        ("report", ["gather", "report"]),
    ],
)
def test_the_chain_ends_where_the_target_does(settings, target, ends):
    assert make_plan(settings, targets=[target]).chain[-len(ends) :] == ends


def test_trainings_alone_take_time_too(settings, tmp_path):
    settings = one_category()
    finish(settings, Run("made", "a"), "train", images_per_second=40.0, device="Some GPU")
    (tmp_path / "params.yaml").write_text(settings.model_dump_json(by_alias=True))
    result = CliRunner().invoke(app, ["plan", "checkpoints", "--gpus", "16"])
    assert "GPU-hours: " in result.output and "GPU-hours: unknown" not in result.output
    assert "with 16 at one time: 4.0 s\n" in result.output  # 16 images × 10 epochs at 40 images per second
    assert "longest chain: fetch → check → pack → train, 4.0 s of training and inference (made/a/few/seed0)" in (
        result.output
    )
