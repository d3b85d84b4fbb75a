"""Versioned results with real git and dvc: clone, pull, and nothing is computed that need not be."""

import shutil

import pytest
from test_reruns import AFTER_METRICS

MODEL = "results/checkpoints/demo_visa/pills/full/seed0/model.safetensors"


@pytest.fixture
def clone(pulled, tmp_path):
    """Return a copy of the pulled clone, to change."""
    return pulled.copy(tmp_path / "clone")


def test_dvc_only_records_what_snakemake_made(published):
    done = published.run("dvc", "repro")
    assert done.stdout.count("didn't change, skipping") == 4
    assert published.run("git", "status", "--porcelain").stdout == ""


def test_clone_and_pull_then_nothing_is_to_be_done(clone):
    assert not (clone.folder / "data/packed").exists()
    assert clone.plan() == set()
    assert "up to date" in clone.run("dvc", "status").stdout
    assert clone.plan("ablations", "--forcerun", "plot_sweep") == {"plot_sweep lambda", "plot_sweep kernel"}
    clone.make("ablations", "--forcerun", "plot_sweep")


def test_pull_fails_and_says_how_many_files_remain(clone):
    clone.edit(lambda values: values["sweeps"].__setitem__("kernel", [1, 3]))
    with pytest.raises(AssertionError, match=r"error: \d\d files remain to be made"):
        clone.make_target("pull")


def test_intermediate_checkpoints_are_pulled_and_nothing_is_to_be_done_for_their_tables(clone):
    run = "demo_visa/pills/full/seed0"
    assert (clone.folder / f"results/checkpoints/{run}/epoch1.safetensors").exists()
    assert (clone.folder / f"results/maps/{run}/epoch1/maps.safetensors").exists()
    assert clone.plan("all_tables", "table8", "table9") == set()
    scores = clone.folder / f"results/metrics/{run}/epoch1/scores.csv"
    scores.unlink()
    assert clone.plan(scores.relative_to(clone.folder)) == {"score_epoch demo_visa/pills/full/0/1"}  # without data


def test_data_fetched_again_with_newer_times_rerun_nothing(clone):
    clone.make("data")
    assert clone.plan() == set()


def test_no_image_goes_to_the_remote(published):
    tracked = published.run("dvc", "list", ".", "--dvc-only", "--recursive").stdout.split()
    assert any(name.endswith("model.safetensors") for name in tracked)
    assert not [name for name in tracked if name.startswith("data/")]


def test_deleted_checkpoint_is_pulled_again(clone):
    (clone.folder / MODEL).unlink()
    assert "train_model demo_visa/pills/full/0" in clone.plan()
    clone.run("dvc", "checkout", "results/checkpoints")
    assert clone.plan() == set()


def test_changed_lambda_in_a_clone_needs_no_data(clone):
    clone.edit(lambda values: values["score"].__setitem__("lambda", 0.5))
    rules = {job.split(" ")[0] for job in clone.plan()}
    assert rules == {job.split(" ")[0] for job in AFTER_METRICS} | {
        "score_maps",
        "score_epoch",
        "sweep_maps",
        "plot_pictures",
    }


def test_metrics_and_plots_can_be_looked_at(clone):
    assert "image_auroc" in clone.run("dvc", "metrics", "show", "--md").stdout
    clone.run("dvc", "plots", "show", "--out", "plots")
    assert "lambda" in (clone.folder / "plots/index.html").read_text(encoding="utf-8")


def test_two_clones_exchange_their_parts(pulled, tmp_path):
    halves = {"left": ("demo_visa", "pills"), "right": ("demo_mvtec", "nut")}
    clones = {}
    for name, (dataset, category) in halves.items():
        half = clones[name] = pulled.copy(tmp_path / name / "checkout")
        for kind in ("checkpoints", "maps", "metrics"):
            shutil.rmtree(half.folder / "results" / kind / dataset / category)
        assert f"score_maps {dataset}/{category}/full/0" in half.plan()
        half.run("dvc", "commit", "--force")
        half.git("checkout", "-q", "-b", name)
        half.git("commit", "-q", "-a", "-m", f"The {name} half")
        half.run("dvc", "push")
    left = clones["left"]
    left.git("fetch", "-q", str(clones["right"].folder), "right:right")
    left.make_target("merge", "REV=right")
    assert left.plan() == set()


def test_run_that_is_here_in_part_is_not_completed_with_anothers(clone):
    here, gone = "demo_visa/pills/no_mask_loss/seed0", "demo_mvtec/nut"
    for kind in ("maps", "metrics"):
        shutil.rmtree(clone.folder / "results" / kind / here)
    for kind in ("checkpoints", "maps", "metrics"):
        shutil.rmtree(clone.folder / "results" / kind / gone)
    (clone.folder / f"results/maps/{gone}/full/seed0/epoch1").mkdir(parents=True)  # left by a job that failed
    clone.make_target("merge", "REV=HEAD")
    results = clone.folder / "results"
    for kind in ("checkpoints", "maps", "metrics"):
        assert (results / kind / gone / "full/seed0").is_dir()
    assert (results / f"maps/{gone}/full/seed0/maps.safetensors").exists()
    assert (results / "checkpoints" / here).exists()
    assert not (results / "maps" / here).exists() and not (results / "metrics" / here).exists()
    assert {job for job in clone.plan(f"results/metrics/{here}/scores.csv") if "no_mask_loss" in job} == {
        f"{rule} demo_visa/pills/no_mask_loss/0" for rule in ("infer_maps", "score_maps")
    }
