"""The demo's data: official layouts, the same for the same seed, and defects where the masks say."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation
from typer.testing import CliRunner

import tfcore.cli.data  # noqa: F401  (registers the commands)
from tfcore.cli import app
from tfcore.data.check import check_data
from tfcore.data.demo import make as demo
from tfcore.data.demo.drawing import Canvas
from tfcore.data.demo.make import MVTEC, VISA, draw, empty_canvas, make_demo_data
from tfcore.data.packed import Packed, packed_textures
from tfcore.settings.sections import DatasetSettings

DEFECTS = [(name, defect) for name, category in (MVTEC | VISA).items() for defect in category.defects]


@pytest.fixture
def few(monkeypatch):
    for name, number in {"TRAIN": 2, "GOOD": 1, "DEFECTIVE": 4, "TEXTURES": 2}.items():
        monkeypatch.setattr(demo, name, number)


def test_both_sets_pass_their_check(few, tmp_path):
    make_demo_data(tmp_path)
    for name, layout, categories in (("demo_mvtec", "mvtec", MVTEC), ("demo_visa", "visa", VISA)):
        counts = {category: (2, 1, 3 if category == "cloth" else 4) for category in categories}
        settings = DatasetSettings(title="Demo", layout=layout, categories=list(categories), counts=counts)
        manifests = {category: tmp_path / name / f"{category}.csv" for category in categories}
        reports = check_data(name, tmp_path / name, settings, manifests)
        assert [{kind for kind, files in report.findings.items() if files} for report in reports] == [set(), set()]
    assert len(list((tmp_path / "textures").rglob("*.jpg"))) == 2
    masks = [np.asarray(Image.open(path)) for path in (tmp_path / "demo_visa").rglob("Masks/Anomaly/*.png")]
    assert {int(mask.max()) for mask in masks} == {1, 2, 3, 4}  # class ids, as in the real set


def test_an_image_depends_on_its_seed_and_place_only(few, tmp_path):
    make_demo_data(tmp_path)
    written = np.asarray(Image.open(tmp_path / "demo_mvtec/nut/test/rust/000.png"))
    assert np.array_equal(written, draw("nut", "rust", 0)[0])
    assert not np.array_equal(written, draw("nut", "rust", 1)[0])
    assert not np.array_equal(written, draw("nut", "rust", 0, seed=1)[0])


@pytest.mark.parametrize(("name", "defect"), DEFECTS)
def test_masks_are_exact(name, defect):
    """The same product with and without its defect differs inside the mask and, but for soft edges, only there."""
    drawn, mask = draw(name, defect, 0)
    canvas = empty_canvas(f"{name}/{defect}", 0, 0)
    (MVTEC | VISA)[name].draw(canvas, "good")
    change = np.abs(drawn.astype(int) - canvas.finish()[0].astype(int)).max(axis=2)
    assert 0.002 < mask.mean() < 0.2
    assert np.mean(change[mask] > 10) > 0.7
    beside = binary_dilation(mask, iterations=3)
    shadows = binary_dilation(mask, iterations=12)
    assert np.mean(change[~beside] > 30) < 0.01  # the shadow of a part that is missing or deformed
    assert change[~shadows].max() <= 12


@pytest.mark.parametrize(("name", "defect"), DEFECTS)
def test_a_part_of_the_canvas_is_large_enough_for_what_is_painted_on_it(name, defect, monkeypatch):
    image, mask = draw(name, defect, 0)
    monkeypatch.setattr(Canvas, "near", lambda canvas, x, y, reach: (canvas, x, y))
    whole_image, whole_mask = draw(name, defect, 0)
    assert (image == whole_image).all() and (mask == whole_mask).all()


def test_commands_write_check_and_pack(few, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = {"title": "Demo", "layout": "mvtec", "categories": ["cloth", "nut"], "local": "data/demo/demo_mvtec"}
    values = {"datasets": {"demo": entry}, "run": {"datasets": ["demo"]}, "data": {"resize": 32, "crop": 32}}
    values["textures"] = {"local": "data/demo/textures", "size": 32}
    (tmp_path / "params.yaml").write_text(json.dumps(values))

    def run(*arguments):
        return CliRunner().invoke(app, list(arguments))

    assert run("demo-data", "--out", "data/demo").exit_code == 0
    assert run("fetch", "--dataset", "demo").exit_code == 0
    assert run("fetch", "--textures").exit_code == 0
    checked = run("check-data")
    assert checked.exit_code == 0
    assert "cloth" in checked.output
    assert run("pack", "--dataset", "demo", "--category", "cloth").exit_code == 0
    assert run("pack-textures").exit_code == 0
    assert Packed("data/packed/demo/cloth").test_images(32).shape == (4, 32, 32, 3)
    assert packed_textures("data/packed/textures").shape == (2, 32, 32, 3)

    (tmp_path / "data/demo/demo_mvtec/nut/ground_truth/rust/000_mask.png").unlink()
    checked = run("check-data", "demo", "--category", "nut")
    assert checked.exit_code == 1
    assert "mask missing: nut/test/rust/000.png" in checked.output
    assert run("check-data", "demo", "--category", "cloth").exit_code == 0
    assert "no such dataset 'mvtec'" in str(run("check-data", "mvtec").exception)
    assert "no such category 'bolt'" in str(run("pack", "--dataset", "demo", "--category", "bolt").exception)
    assert "'--seed'" in run("demo-data", "--seed", "-1").output
    assert "either --dataset NAME or --textures" in str(run("fetch").exception)
