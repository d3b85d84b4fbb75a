import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fabricated import DEMO, paper_settings, write_metrics
from PIL import Image
from safetensors.numpy import save_file

from tfcore.methods.score import score_run
from tfcore.metrics.gather import read_metrics
from tfcore.report.figures.curves import loss_figure, setting_used, sweep_data, sweep_figure
from tfcore.report.figures.pictures import example_figure, failure_figure, reconstruction_figure, reverse_figure
from tfcore.report.figures.style import line_look, same_scale, save, use_style
from tfcore.report.figures.test_images import read_samples
from tfcore.report.measured import Measured
from tfcore.runs.run import Run
from tfcore.runs.stages import stage_settings
from tfcore.runtime.errors import UserError

SIDE = 16
GOOD, BAD = 3, 5


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return paper_settings(tmp_path, f"{DEMO}\nscore: {{resamples: 0}}")


@pytest.fixture
def maps(settings):
    """Write maps and scores of one category: image i has the value peaks[i] everywhere."""
    run = Run("demo_visa", "tray")
    peaks = np.array([0.1, 0.6, 0.2, 0.9, 0.5, 0.3, 0.7, 0.8], dtype=np.float32)
    flat = np.broadcast_to(peaks[:, None, None], (GOOD + BAD, SIDE, SIDE)).copy()
    masks = np.zeros((GOOD + BAD, SIDE, SIDE), np.uint8)
    masks[GOOD:, 4:8, 4:8] = 1
    header = {
        "run": {"method": "transfusion", "dataset": run.dataset, "category": run.category, "variant": "full", "seed": 0}
    }
    header |= {"files": [f"{index}.png" for index in range(GOOD + BAD)], "defects": ["good"] * GOOD + ["crack"] * BAD}
    tensors = {"disc": flat, "recon": flat, "last": flat, "mask_nearest": masks, "mask_antialiased": masks}
    tensors["label"] = np.array([0] * GOOD + [1] * BAD, np.uint8)
    tensors["reconstruction"] = np.full((GOOD + BAD, SIDE, SIDE, 3), 128, np.uint8)
    run.maps.parent.mkdir(parents=True)
    save_file(tensors, run.maps, metadata={key: json.dumps(value) for key, value in header.items()})
    score_run(run.maps, stage_settings(settings, "score"), run.scores)
    return peaks


def written(path):
    """Return whether the three files are there and the PNG is a picture with something on it."""
    with Image.open(f"{path}.png") as image:
        low, high = image.convert("L").getextrema()
    svg = path.with_suffix(".svg").read_text()
    return high > low and svg.rstrip().endswith("</svg>") and path.with_suffix(".csv").exists()


def test_saving_twice_gives_the_same_bytes(tmp_path):
    from matplotlib.figure import Figure

    files = []
    for name in ("a", "b"):
        use_style()
        figure = Figure(figsize=(2, 2))
        figure.subplots().plot([0, 1], [1, 0], **line_look(1))
        save(figure, tmp_path / name)
        files.append([(tmp_path / f"{name}{suffix}").read_bytes() for suffix in (".png", ".svg")])
    assert files[0] == files[1]


def test_one_scale_for_all_maps():
    scale = same_scale(np.array([0.2, np.nan]), np.array([[0.5, 0.9]]))
    assert (scale.vmin, scale.vmax) == (0.2, 0.9)
    assert same_scale(np.zeros(3))(0.0) == 0.0


def test_lines_differ_in_more_than_colour():
    looks = [line_look(index) for index in range(4)]
    for key in ("color", "marker", "linestyle"):
        assert len({look[key] for look in looks}) == 4


@pytest.mark.parametrize("kind", ["lambda", "kernel"])
def test_sweep_figure_and_its_data(settings, tmp_path, kind):
    values = {"lambda": ("0.0", "0.5", "0.95", "1.0"), "kernel": ("1", "3", "7", "21")}[kind]
    points = ("main", *(f"{kind}={value}" for value in values))
    file = write_metrics(tmp_path / "metrics.csv", settings, points=points)
    sweep_figure(kind, file, settings, tmp_path / "figure")
    assert written(tmp_path / "figure")
    data = pd.read_csv(tmp_path / "figure.csv")
    assert list(data[kind].unique()) == [float(value) for value in values]
    rows = read_metrics(file)
    there = rows.query(f"point == '{kind}={values[1]}' and dataset == 'demo_visa' and metric == 'aupro'")
    mean = 100 * there[there["category"] != "average"]["value"].mean()
    here = data[(data["dataset"] == "Demo B") & (data["metric"] == "aupro") & (data[kind] == float(values[1]))]
    assert here["value"].iloc[0] == pytest.approx(mean, rel=1e-5)


def test_points_of_a_curve_stand_on_the_same_categories(settings, tmp_path):
    rows = read_metrics(write_metrics(tmp_path / "m.csv", settings, points=("lambda=0.5", "lambda=1.0")))
    gone = (rows["category"] == "tray") & (rows["point"] == "lambda=1.0")
    data = sweep_data("lambda", Measured(rows[~gone], settings))
    curve = data[(data["dataset"] == "Demo B") & (data["metric"] == "image_auroc")]
    assert list(curve["categories"]) == [1, 1]
    board = rows.query("category == 'board' and metric == 'image_auroc' and point == 'lambda=0.5'")["value"].iloc[0]
    assert curve["value"].iloc[0] == pytest.approx(100 * board)


def test_sweep_figure_before_anything_is_measured(settings, tmp_path):
    sweep_figure("lambda", write_metrics(tmp_path / "m.csv", settings), settings, tmp_path / "figure")
    assert "not measured yet" in (tmp_path / "figure.svg").read_text()


def test_failures_are_the_highest_normal_and_the_lowest_anomalous(settings, maps, tmp_path):
    failure_figure("demo_visa", settings, tmp_path / "failures")
    assert written(tmp_path / "failures")
    data = pd.read_csv(tmp_path / "failures.csv")
    assert list(data["file"]) == ["1.png", "5.png"]
    assert list(data["chosen"]) == ["highest-scored normal", "lowest-scored anomalous"]
    assert list(data["rank"]) == [4, 6]
    assert data["scale_high"].nunique() == 1


def test_reconstruction_shows_the_median_anomalous_image(settings, maps, tmp_path):
    reconstruction_figure("demo_visa", settings, tmp_path / "reconstructions")
    data = pd.read_csv(tmp_path / "reconstructions.csv")
    assert list(data["file"]) == ["6.png"]  # of 0.9, 0.5, 0.3, 0.7, 0.8


def test_examples_show_each_image_once(settings, maps, tmp_path):
    example_figure("demo_visa", settings, tmp_path / "examples", count=9)
    data = pd.read_csv(tmp_path / "examples.csv")
    assert sorted(data["file"]) == [f"{index}.png" for index in range(GOOD, GOOD + BAD)]
    assert list(data["score"]) == sorted(data["score"])


def test_equal_scores_share_a_rank_and_the_first_image_is_chosen(settings, maps):
    samples = read_samples(Run("demo_visa", "tray"), settings)
    alike = replace(samples, scores=np.array([0.1, 0.6, 0.6, 0.6, 0.5, 0.3, 0.3, 0.8]))
    assert [tile.rank for tile in alike.tiles([(row, "") for row in (7, 1, 2, 3, 4)])] == [1, 2, 2, 2, 5]
    assert [index for index, _ in alike.worst(2)] == [1, 2, 5, 6]
    assert alike.typical(1) == [(4, "quantile 0.50")]
    assert alike.of_each_kind(2) == [(4, "crack: median score of 5"), (1, "good: median score of 3")]


def test_sweep_marks_the_setting_of_the_baseline(tmp_path):
    own = "sharp: {score.lambda: 0.5, score.kernel: 3}"
    overlay = DEMO.replace("variants: {", f"variants: {{{own}, ").replace("tables: {", "tables: {baseline: sharp, ")
    settings = paper_settings(tmp_path, overlay)
    assert [setting_used(kind, settings) for kind in ("lambda", "kernel")] == [0.5, 3]
    file = write_metrics(tmp_path / "m.csv", settings, ("sharp",), points=("lambda=0.2", "lambda=0.8"))
    sweep_figure("lambda", file, settings, tmp_path / "sharp")
    at_default = settings.model_copy(update={"variants": settings.variants | {"sharp": {}}})
    sweep_figure("lambda", file, at_default, tmp_path / "default")
    assert (tmp_path / "sharp.csv").read_bytes() == (tmp_path / "default.csv").read_bytes()
    assert (tmp_path / "sharp.svg").read_bytes() != (tmp_path / "default.svg").read_bytes()


def test_scores_of_samples_are_those_of_the_final_map(settings, maps):
    samples = read_samples(Run("demo_visa", "tray"), settings)
    assert samples.scores == pytest.approx(maps, rel=1e-5)  # λ·v + (1 - λ)·v = v, and the filter keeps a flat middle
    assert read_samples(Run("demo_visa", "board"), settings) is None
    assert [tile.final.max() for tile in samples.tiles([(7, ""), (0, "")])] == pytest.approx([0.8, 0.1], rel=1e-5)
    for file in (samples.run.maps, samples.run.images):
        content = file.read_bytes()
        file.unlink()
        assert read_samples(samples.run, settings) is None
        file.write_bytes(content)


def test_pictures_show_the_scores_that_scoring_wrote(settings, maps, tmp_path):
    images = Run("demo_visa", "tray").images
    images.write_text(images.read_text().replace("4.png,1,crack,0.", "4.png,1,crack,7."))
    failure_figure("demo_visa", settings, tmp_path / "failures")
    data = pd.read_csv(tmp_path / "failures.csv")
    assert list(data["rank"]) == [5, 6]  # of the normal image one more is above


def test_images_are_shown_where_the_data_are(settings, maps, tmp_path):
    failure_figure("demo_visa", settings, tmp_path / "without")
    assert ">not here<" in (tmp_path / "without.svg").read_text()


def test_figures_before_any_maps(settings, tmp_path):
    failure_figure("demo_mvtec", settings, tmp_path / "failures")
    assert "no anomaly maps yet" in (tmp_path / "failures.svg").read_text()


def test_an_unknown_dataset_is_named(settings, tmp_path):
    with pytest.raises(UserError, match="'nothing'"):
        failure_figure("nothing", settings, tmp_path / "failures")


def test_loss_figure_and_its_data(settings, tmp_path):
    log = Run("demo_visa", "tray").checkpoint.with_name("log.csv")
    log.parent.mkdir(parents=True)
    rows = {"step": [0, 10], "epoch": [0, 1], "mask": [1.0, 0.5], "anomaly": [0.0, 0.0], "normal": [0.5, 0.2]}
    pd.DataFrame(rows | {"consistency": [0.1, 0.1], "total": [1.6, 0.8]}).to_csv(log, index=False)
    loss_figure("demo_visa", settings, tmp_path / "losses")
    assert written(tmp_path / "losses")
    assert "not trained yet" in (tmp_path / "losses.svg").read_text()
    assert list(pd.read_csv(tmp_path / "losses.csv")["total"]) == [1.6, 0.8]


def test_a_log_of_one_row_is_seen_and_no_words_overlap(settings, tmp_path):
    for category in settings.datasets["demo_visa"].categories:
        log = Run("demo_visa", category).checkpoint.with_name("log.csv")
        log.parent.mkdir(parents=True)
        log.write_text("step,epoch,total,normal,mask,anomaly,consistency\n1,1,1.6,1,0.5,0.1,0.01\n")
    loss_figure("demo_visa", settings, tmp_path / "losses")
    svg = (tmp_path / "losses.svg").read_text()
    assert svg.count("<use ") > 5  # points
    (epoch,), (legend,) = (
        [float(y) for y in re.findall(rf' y="([\d.]+)"[^>]*>{word}<', svg)] for word in ("epoch", "consistency")
    )
    assert abs(epoch - legend) > 10


def test_reverse_process(tmp_path):
    steps = 3
    pictures = np.zeros((steps, 3, SIDE, SIDE), np.float32)
    tensors = {"t": np.arange(steps, 0, -1), "x_t": pictures, "anomaly": pictures - 1, "normal": pictures + 1}
    tensors |= {"mask": np.full((steps, SIDE, SIDE), 0.25, np.float32), "x_0": pictures[0] + 0.5}
    save_file(tensors, tmp_path / "trace.safetensors", metadata={"file": "a.png", "defect": "crack"})
    reverse_figure(tmp_path / "trace.safetensors", tmp_path / "reverse")
    assert written(tmp_path / "reverse")
    data = pd.read_csv(tmp_path / "reverse.csv")
    assert list(data["t"]) == [3, 2, 1]
    assert data["mean_mask"].unique() == pytest.approx([0.25])
    assert list(data["mean_change_of_x"]) == [0.0, 0.0, 0.5]
    svg = (tmp_path / "reverse.svg").read_text()
    assert "t = 3" in svg
    assert "t = 1<" in svg


def test_a_broken_trace_is_named(tmp_path):
    (tmp_path / "trace.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"trace\.safetensors"):
        reverse_figure(tmp_path / "trace.safetensors", tmp_path / "reverse")
    with pytest.raises(UserError, match="tfcore trace"):
        reverse_figure(tmp_path / "none.safetensors", tmp_path / "reverse")
