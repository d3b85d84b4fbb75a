"""The same small category in every layout that data sets come in."""

import numpy as np
import pytest
from small_data import COUNTS, make_mvtec, make_visa, settings, square

from tfcore.data.images import read_mask
from tfcore.data.layouts import find_category
from tfcore.runtime.errors import UserError


def converted_visa(root):
    return make_mvtec(root / "1cls", suffix="", channels=3).parent


LAYOUTS = {
    "mvtec": ("mvtec", make_mvtec),
    "mvtec below a top folder": ("mvtec", lambda root: make_mvtec(root / "mvtec_anomaly_detection").parent),
    "visa, official": ("visa", make_visa),
    "visa below a top folder": ("visa", lambda root: make_visa(root / "VisA_20220922").parent),
    "visa, converted in 1cls": ("visa", converted_visa),
    "visa, converted": ("visa", lambda root: make_mvtec(root, suffix="")),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_samples(name, tmp_path):
    layout, make = LAYOUTS[name]
    found = find_category(make(tmp_path), "part", settings(layout))
    train = [sample for sample in found.samples if sample.split == "train"]
    test = [sample for sample in found.samples if sample.split == "test"]
    assert found.samples == train + test
    assert [sample.file for sample in train] == sorted(sample.file for sample in train)
    assert (len(train), [s.label for s in test].count(0), [s.label for s in test].count(1)) == COUNTS
    assert all(sample.file.startswith("part/") for sample in found.samples)
    bad = [sample for sample in test if sample.label]
    for number, sample in enumerate(bad):
        assert np.array_equal(read_mask(found.root / sample.mask), square(number))
    assert all(sample.mask is None and sample.defect == "good" for sample in found.samples if not sample.label)
    assert found.stray_masks == []


def test_the_label_comes_from_the_split_file_and_not_from_the_mask(tmp_path):
    make_visa(tmp_path, class_id=0)
    samples = find_category(tmp_path, "part", settings("visa")).samples
    assert sum(sample.label for sample in samples) == COUNTS[2]


def test_masks_without_image_are_listed(tmp_path):
    make_mvtec(tmp_path)
    (tmp_path / "part/test/bad/001.png").unlink()
    assert find_category(tmp_path, "part", settings()).stray_masks == ["part/ground_truth/bad/001_mask.png"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_companion_files_of_a_mac_are_no_images(name, tmp_path):
    layout, make = LAYOUTS[name]
    make(tmp_path)
    for path in [*tmp_path.rglob("*.png")]:
        path.with_name(f"._{path.name}").write_bytes(b"finder")
    for folder in ("__MACOSX/part/train/good", ".trash/part/train/good", "part/test/.hidden"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "000.png").write_bytes(b"rest")
    found = find_category(tmp_path, "part", settings(layout))
    assert len(found.samples) == sum(COUNTS)
    assert found.stray_masks == []


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="no such folder; fetch the data set first"):
        find_category(tmp_path / "nowhere", "part", settings())
    with pytest.raises(UserError, match="no category folder 'part'"):
        find_category(tmp_path, "part", settings())
    (tmp_path / "part/train").mkdir(parents=True)
    with pytest.raises(UserError, match="not in the layout 'mvtec': expected train/good"):
        find_category(tmp_path, "part", settings())


def test_a_missing_split_file_is_named(tmp_path):
    make_visa(tmp_path)
    (tmp_path / "split_csv/1cls.csv").unlink()
    with pytest.raises(UserError, match=r"1cls\.csv: missing"):
        find_category(tmp_path, "part", settings("visa"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train,normal", "train,anomaly", "an anomaly in the training split"),
        ("train,normal", "val,normal", "split must be train or test"),
        ("object,split", "what,split", "expected the columns"),
        ("part,", "other,", "no rows of the category 'part'"),
    ],
)
def test_a_split_file_that_makes_no_sense_is_refused(old, new, message, tmp_path):
    make_visa(tmp_path)
    split = tmp_path / "split_csv/1cls.csv"
    split.write_text(split.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        find_category(tmp_path, "part", settings("visa"))
