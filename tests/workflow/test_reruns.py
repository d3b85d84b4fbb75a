"""What reruns and what never does: each test asserts the exact list of jobs that Snakemake plans."""

import re
import shutil

from PIL import Image

TABLES = {f"make_table table{number}" for number in range(1, 10)}
AFTER_METRICS = TABLES | {"gather_metrics", "check_claims", "plot_sweep lambda", "plot_sweep kernel", "report"}
RUNS = {("demo_mvtec", "nut"), ("demo_visa", "pills")}
VARIANTS = ("full", "no_mask_loss", "steps_20")
TRAINED = ("full", "no_mask_loss")


def jobs(rule, dataset, category, *variants):
    return {f"{rule} {dataset}/{category}/{variant}/0" for variant in variants}


def everywhere(rule, *variants):
    return {job for dataset, category in RUNS for job in jobs(rule, dataset, category, *variants)}


def at_epoch(rule):
    return {f"{rule} {dataset}/{category}/full/0/1" for dataset, category in RUNS}


def pictures(*datasets):
    names = ("examples", "failures", "reconstructions")
    return {f"plot_pictures {name}/{dataset}" for name in names for dataset in datasets}


FROM_TRAINING = (
    everywhere("train_model", *TRAINED)
    | everywhere("infer_maps", *TRAINED)
    | at_epoch("infer_epoch")
    | everywhere("score_maps", *VARIANTS)
    | at_epoch("score_epoch")
    | everywhere("sweep_maps", "full")
    | pictures("demo_mvtec", "demo_visa")
    | {"plot_losses demo_mvtec", "plot_losses demo_visa"}
    | {"time_inference", "trace_process demo_mvtec/nut/full/0", "plot_reverse_process"}
    | AFTER_METRICS
)


def set_value(section, key, value):
    def change(values):
        values[section][key] = value

    return change


def test_everything_is_made_and_a_second_run_does_nothing(repository):
    assert repository.plan() == set()
    for number in range(1, 10):
        for suffix in ("md", "tex", "csv"):
            assert (repository.folder / f"results/tables/table{number}.{suffix}").stat().st_size > 0
    assert "Nothing to be done" in repository.run("snakemake", "--cores", "1", "all_tables").stderr


def test_touching_files_reruns_nothing(repository):
    for file in (repository.folder / "data").rglob("*"):
        file.touch()
    for file in (repository.folder / "results").rglob("run.json"):
        file.touch()
    assert repository.plan() == set()


def test_changed_lambda_reruns_scoring_alone(repository):
    repository.edit(set_value("score", "lambda", 0.5))
    assert repository.plan() == (
        everywhere("score_maps", *VARIANTS)
        | at_epoch("score_epoch")
        | everywhere("sweep_maps", "full")
        | pictures("demo_mvtec", "demo_visa")
        | AFTER_METRICS - {"make_table table5"}
    )


def test_changed_learning_rate_reruns_from_training_on(repository):
    repository.edit(set_value("train", "learning_rate", 1e-4))
    assert repository.plan() == FROM_TRAINING


def test_changed_intermediate_epochs_train_their_run_again_and_no_other(repository):
    repository.edit(set_value("tables", "checkpoint_epochs", [2]))
    planned = repository.plan()
    assert {job for job in planned if job.startswith("train_model")} == everywhere("train_model", "full")
    assert {job for job in planned if "epoch" in job} == {
        f"{rule} {dataset}/{category}/full/0/2" for dataset, category in RUNS for rule in ("infer_epoch", "score_epoch")
    }
    assert {job.split(" ")[0] for job in repository.plan("maps")} == {"train_model", "infer_maps", "infer_epoch"}


def test_changed_hardware_reruns_nothing(repository):
    repository.edit(set_value("hardware", "infer_batch", 3))
    assert repository.plan() == set()


def test_new_variant_runs_its_own_jobs(repository):
    def change(values):
        values["variants"]["half_mask"] = {"losses.mask": 0.5}
        values["run"]["variants"].append("half_mask")

    repository.edit(change)
    new = {job for rule in ("train_model", "infer_maps", "score_maps") for job in everywhere(rule, "half_mask")}
    assert repository.plan() == new | AFTER_METRICS


def test_variant_that_shares_a_training_is_only_scored(repository):
    def change(values):
        values["variants"] = {"half": {"score.lambda": 0.5}} | values["variants"]  # written first, owns nothing
        values["run"]["variants"].append("half")

    repository.edit(change)
    assert repository.plan() == everywhere("score_maps", "half") | AFTER_METRICS


def test_variant_that_comes_to_share_older_maps_is_scored_again(repository):
    def change(values):
        values["variants"]["steps_20"] = values["variants"]["no_mask_loss"]

    for dataset, category in RUNS:  # newer than all maps, so that no time gives the change away
        (repository.folder / f"results/metrics/{dataset}/{category}/steps_20/seed0/scores.csv").touch()
    repository.edit(change)
    assert repository.plan() == everywhere("score_maps", "steps_20") | AFTER_METRICS


def test_new_category_runs_its_own_jobs(repository):
    repository.edit(lambda values: values["datasets"]["demo_visa"]["categories"].append("board"))
    board = ("demo_visa", "board")
    assert repository.plan() == (
        {"check_category demo_visa/board", "pack_category demo_visa/board"}
        | jobs("train_model", *board, *TRAINED)
        | jobs("infer_maps", *board, *TRAINED)
        | jobs("score_maps", *board, *VARIANTS)
        | {"infer_epoch demo_visa/board/full/0/1", "score_epoch demo_visa/board/full/0/1"}
        | jobs("sweep_maps", *board, "full")
        | pictures("demo_visa")
        | {"plot_losses demo_visa"}
        | AFTER_METRICS
    )


def raise_version(repository, name, module="runs/stages"):
    file = repository.folder / f"tfcore/{module}.py"
    raised, count = re.subn(rf"(?m)^{name} = (\d+)$", rf"{name} = 1\1", file.read_text(encoding="utf-8"))
    assert count == 1
    file.write_text(raised, encoding="utf-8")


def test_comment_in_the_program_reruns_nothing_and_a_version_reruns_training(repository):
    file = repository.folder / "tfcore/methods/transfusion/settings.py"
    file.write_text(file.read_text(encoding="utf-8") + "\n# A remark.\n", encoding="utf-8")
    assert repository.plan() == set()
    raise_version(repository, "TRAIN_VERSION", "methods/transfusion/settings")
    assert repository.plan() == FROM_TRAINING


def test_version_of_packing_reruns_packing_and_what_is_trained_from_it(repository):
    raise_version(repository, "PACK_VERSION")
    packing = {f"pack_category {dataset}/{category}" for dataset, category in RUNS} | {"pack_textures"}
    assert repository.plan("data") == packing
    assert repository.plan() == packing | FROM_TRAINING
    shutil.rmtree(repository.folder / "data/raw")
    fetching = {"fetch_dataset demo_mvtec", "fetch_dataset demo_visa", "fetch_textures"}
    assert repository.plan("data") == packing | fetching


def test_deleted_checkpoint_reruns_its_descendants_and_is_made_again_to_the_bit(repository):
    model = "results/checkpoints/demo_visa/pills/no_mask_loss/seed0/model.safetensors"
    content = (repository.folder / model).read_bytes()
    (repository.folder / model).unlink()
    pills = ("demo_visa", "pills", "no_mask_loss")
    assert repository.plan() == (
        jobs("train_model", *pills)
        | jobs("infer_maps", *pills)
        | jobs("score_maps", *pills)
        | AFTER_METRICS - TABLES
        | {"make_table table4"}  # no other table shows this variant
    )
    assert repository.plan("table3") == set()
    repository.make(model)
    assert (repository.folder / model).read_bytes() == content


def test_tables_stand_without_data_checkpoints_and_maps(repository):
    for name in ("data/packed", "data/raw", "data/demo", "results/maps"):
        shutil.rmtree(repository.folder / name)
    assert repository.plan() == set()
    shutil.rmtree(repository.folder / "results/checkpoints")
    assert repository.plan("tables") == set()
    assert repository.plan("ablations", "--forcerun", "plot_sweep") == {"plot_sweep lambda", "plot_sweep kernel"}


def test_new_variant_without_data_fetches_them_and_leaves_the_rest_alone(repository):

    for name in ("data/packed", "data/raw", "data/demo"):
        shutil.rmtree(repository.folder / name)

    def change(values):
        values["variants"]["half_mask"] = {"losses.mask": 0.5}
        values["run"]["variants"].append("half_mask")

    repository.edit(change)
    data = {"make_demo_data", "fetch_dataset demo_mvtec", "fetch_dataset demo_visa", "fetch_textures", "pack_textures"}
    data |= {f"pack_category {dataset}/{category}" for dataset, category in RUNS}
    new = {job for rule in ("train_model", "infer_maps", "score_maps") for job in everywhere(rule, "half_mask")}
    assert repository.plan() == data | new | AFTER_METRICS


def test_interrupted_between_training_and_inference_leaves_no_stale_number(repository):
    repository.edit(set_value("train", "learning_rate", 1e-4))
    model = "results/checkpoints/demo_mvtec/nut/full/seed0/model.safetensors"
    repository.make(model)
    # The times of Table 5 do not depend on the weights: once its run is trained, they stand.
    untouched = {"train_model demo_mvtec/nut/full/0", "time_inference", "make_table table5"}
    assert repository.plan() == FROM_TRAINING - untouched
    shutil.rmtree(repository.folder / "data/packed/demo_mvtec/nut")  # trained elsewhere: its maps need the images
    maps = "results/maps/demo_mvtec/nut/full/seed0/maps.safetensors"
    assert repository.plan(maps) == {"pack_category demo_mvtec/nut", "infer_maps demo_mvtec/nut/full/0"}


def test_corrupted_checkpoint_is_refused(repository):
    file = repository.folder / "results/checkpoints/demo_mvtec/nut/full/seed0/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 0xFF
    file.write_bytes(content)
    (repository.folder / "results/maps/demo_mvtec/nut/full/seed0/maps.safetensors").unlink()
    done = repository.make("maps", check=False)
    assert done.returncode != 0
    log = repository.folder / "logs/infer_maps/demo_mvtec/nut/full/seed0.log"
    (line,) = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("error: ")]
    assert "model.safetensors" in line
    assert "Traceback" not in log.read_text(encoding="utf-8")


def test_words_about_a_dataset_do_not_touch_its_results(repository):
    repository.edit(lambda values: values["datasets"]["demo_visa"].update(licence="CC0", title="Another title"))
    assert repository.plan() == AFTER_METRICS - {"gather_metrics"}


def test_category_that_becomes_a_surface_is_packed_and_trained_again(repository):
    repository.edit(lambda values: values["datasets"]["demo_mvtec"].update(textures=["nut"]))
    planned = repository.plan()
    assert planned >= {"pack_category demo_mvtec/nut"} | jobs("train_model", "demo_mvtec", "nut", *TRAINED)
    assert not any("pills" in job for job in planned)


def to_do(repository):
    """Return what `python -m tfcore plan` counts as still to do."""
    text = repository.run("python", "-m", "tfcore", "plan").stdout
    return [int(count) for count in re.findall(r"^(?:trainings|inferences|scorings|sweeps) +\d+ +(\d+)", text, re.M)]


def test_plan_counts_what_snakemake_would_make(repository):
    assert to_do(repository) == [0, 0, 0, 0]
    assert "disk: 0 GB to write (nothing)" in repository.run("python", "-m", "tfcore", "plan").stdout
    repository.edit(set_value("score", "lambda", 0.5))
    assert to_do(repository) == [0, 0, 8, 2]  # as in test_changed_lambda_reruns_scoring_alone
    assert "left out, as made with other settings: 10 score files" in repository.make("tables_so_far").stdout
    repository.edit(set_value("score", "lambda", 0.95))
    assert "left out" not in repository.make("tables_so_far").stdout
    repository.edit(lambda values: values["datasets"]["demo_mvtec"].update(textures=["nut"]))
    assert to_do(repository) == [2, 3, 4, 1]  # one of two categories


def test_data_of_another_place_are_checked_when_that_is_asked_for(repository):
    check = ("--forcerun", "check_category", "--", "data")
    other = repository.folder / "other"
    shutil.copytree(repository.folder / "data/demo/demo_mvtec", other)
    repository.edit(lambda values: values["datasets"]["demo_mvtec"].update(local="other"))
    assert repository.plan() == set()
    assert "fetch_dataset demo_mvtec" in repository.plan(*check)
    repository.make(*check)
    assert (repository.folder / "data/raw/demo_mvtec").resolve() == other
    assert repository.plan() == set()  # the same images
    picture = next((other / "nut/train/good").glob("*.png"))
    Image.open(picture).rotate(90).save(picture)
    repository.make(*check)
    planned = repository.plan()
    assert planned >= jobs("train_model", "demo_mvtec", "nut", *TRAINED)
    assert not any("pills" in job for job in planned)


def test_check_that_is_asked_for_fetches_data_that_are_not_here(repository):
    shutil.rmtree(repository.folder / "data/raw")
    assert repository.plan("check_data") == set()
    planned = repository.plan("--forcerun", "check_category", "--", "check_data")
    assert planned >= {"fetch_dataset demo_mvtec", "fetch_dataset demo_visa"}


def test_where_given_foregrounds_lie_reruns_nothing(repository):
    def give(folder):
        repository.edit(lambda values: values["datasets"]["demo_mvtec"].update(foregrounds=folder))
        return repository.plan()

    assert give("/mine") == give("/of/a/colleague") != set()  # found before, given now: trained again


def test_corrected_published_number_and_table_version_rerun_tables_claims_and_page(repository):
    made_of_them = TABLES | {"check_claims", "report"}
    published = repository.folder / "tfcore/paper/authors_release.csv"
    content = published.read_bytes()
    published.write_bytes(content.replace(b"97.8131", b"97.8132", 1))
    assert repository.plan() == made_of_them
    published.write_bytes(content)
    assert repository.plan() == set()
    raise_version(repository, "TABLE_VERSION")
    assert repository.plan() == made_of_them


def test_times_follow_the_network_and_the_asked_points_not_the_run_that_is_shown(repository):
    repository.edit(lambda values: values["run"].update(datasets=["demo_visa"]))
    assert "time_inference" not in repository.plan()
    repository.edit(lambda values: values["run"].update(datasets=["demo_visa", "demo_mvtec"]))
    assert "time_inference" not in repository.plan()
    repository.edit(set_value("tables", "inference_batches", [2]))
    assert "time_inference" in repository.plan("table5")
    repository.edit(set_value("tables", "inference_batches", [4]))
    repository.edit(set_value("model", "blocks", 2))
    assert "time_inference" in repository.plan("table5")


def test_reverse_process_is_of_the_run_that_is_shown(repository):
    figure = "results/figures/reverse_process.png"

    def show(*datasets):
        repository.edit(lambda values: values["run"].update(datasets=list(datasets)))

    for name in ("data/packed", "data/raw", "data/demo"):
        shutil.rmtree(repository.folder / name)
    show("demo_visa", "demo_mvtec")
    traced = {"trace_process demo_visa/pills/full/0", "plot_reverse_process"}
    images = {"make_demo_data", "fetch_dataset demo_visa", "pack_category demo_visa/pills"}
    assert repository.plan(figure) == traced | images
    repository.make(figure)
    assert repository.plan(figure) == set()
    shutil.rmtree(repository.folder / "data/packed")
    assert repository.plan(figure) == set()
    show("demo_mvtec", "demo_visa")
    assert repository.plan(figure) == {"plot_reverse_process"}
