"""Checking: what is broken is counted, named and makes the command fail; what is complete gets its manifest."""

import csv
import hashlib
import shutil

import numpy as np
import pytest
from small_data import COUNTS, HEIGHT, make_mvtec, make_visa, save, settings

from tfcore.data.check import check_category, check_data, table
from tfcore.runtime.files import sha256_of


def remove(name):
    return lambda part: (part / name).unlink()


def broken_image(part):
    path = part / "train/good/001.png"
    path.write_bytes(path.read_bytes()[:60])


def small_mask(part):
    save(np.full((HEIGHT, 5), 255, np.uint8), part / "ground_truth/bad/000_mask.png")


def empty_mask(part):
    save(np.zeros((HEIGHT, 30), np.uint8), part / "ground_truth/bad/002_mask.png")


def duplicate(part):
    shutil.copy(part / "train/good/002.png", part / "test/good/001.png")


CASES = {
    "mask missing": (remove("ground_truth/bad/001_mask.png"), "part/test/bad/001.png", False),
    "mask without image": (remove("test/bad/001.png"), "part/ground_truth/bad/001_mask.png", True),
    "wrong counts": (remove("train/good/003.png"), "found (3, 2, 3), expected (4, 2, 3)", False),
    "unreadable": (broken_image, "part/train/good/001.png", False),
    "mask of another size": (small_mask, "part/ground_truth/bad/000_mask.png (5 × 20, its image 30 × 20)", False),
    "empty mask": (empty_mask, "part/ground_truth/bad/002_mask.png", True),
    "same image in train and test": (duplicate, "part/test/good/001.png = part/train/good/002.png", True),
    "no images": (lambda part: shutil.rmtree(part / "test/good"), "test/good", False),
    "not found": (shutil.rmtree, "no category folder 'part'", False),
}


def counts_unless(kind):
    return {} if kind in ("mask without image", "no images") else {"part": COUNTS}


@pytest.mark.parametrize("kind", CASES)
def test_each_finding(kind, tmp_path):
    spoil, named, usable = CASES[kind]
    spoil(make_mvtec(tmp_path / "raw") / "part")
    report = check_category("small", tmp_path / "raw", "part", settings(counts=counts_unless(kind)))
    assert [found for found, files in report.findings.items() if files] == [kind]
    assert named in report.findings[kind][0]
    assert report.ok == usable
    text = table("small", [report])
    assert kind in text.splitlines()[2]
    assert f"{'warning' if usable else 'error'}: part: {kind}: " in text


def test_a_good_category_is_ok(tmp_path):
    report = check_category("small", make_visa(tmp_path), "part", settings("visa", counts={"part": COUNTS}))
    assert report.ok
    assert table("small", [report]).splitlines()[2].split() == ["small", "part", "4/4", "2/2", "3/3", "ok"]


def test_foreground_masks_are_checked_and_belong_to_the_manifest(tmp_path):
    raw = make_mvtec(tmp_path / "raw")
    for number in range(COUNTS[0]):
        save(np.full((HEIGHT, 30), 255 * (number > 0), np.uint8), tmp_path / f"fg/part/{number:03d}.png")
    given = settings(foregrounds=str(tmp_path / "fg")).model_copy(update={"textures": []})
    (report,) = check_data("small", raw, given, {"part": tmp_path / "part.csv"})
    assert report.ok
    assert report.findings["empty foreground"] == ["part/000.png"]
    lines = (tmp_path / "part.csv").read_text().splitlines()
    digest = hashlib.sha256((tmp_path / "fg/part/001.png").read_bytes()).hexdigest()
    assert any(line.startswith("foreground/part/001.png,") and digest in line for line in lines)
    (tmp_path / "fg/part/003.png").unlink()
    report = check_category("small", raw, "part", given)
    assert not report.ok
    assert "fg/part/003.png: cannot be read: No such file" in report.findings["unreadable"][0]
    assert check_category("small", raw, "part", settings(foregrounds=str(tmp_path / "fg"))).ok  # a surface needs none


def test_another_split_file_is_an_error(tmp_path):
    raw = make_visa(tmp_path)
    good = settings("visa", split_sha256=sha256_of(raw / "split_csv/1cls.csv"))
    assert check_category("small", raw, "part", good).ok
    report = check_category("small", raw, "part", good.model_copy(update={"split_sha256": "0" * 64}))
    assert [kind for kind, files in report.findings.items() if files] == ["another split"]
    assert not report.ok


def test_the_manifest_lists_every_file_and_is_the_same_each_time(tmp_path):
    raw = make_mvtec(tmp_path / "raw")
    for name in ("one", "two"):
        check_data("small", raw, settings(), {"part": tmp_path / name})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with (tmp_path / "one").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "size", "sha256", "category", "split", "label"]
    assert {row["file"] for row in rows} == {path.relative_to(raw).as_posix() for path in raw.rglob("*.png")}
    assert [row["split"] for row in rows].count("ground_truth") == COUNTS[2]
    for row in rows:
        content = (raw / row["file"]).read_bytes()
        assert (int(row["size"]), row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_broken_copy_does_not_replace_a_good_manifest(tmp_path):
    raw = make_mvtec(tmp_path / "raw")
    check_data("small", raw, settings(), {"part": tmp_path / "part.csv"})
    before = (tmp_path / "part.csv").read_bytes()
    broken_image(raw / "part")
    assert not check_data("small", raw, settings(), {"part": tmp_path / "part.csv"})[0].ok
    assert (tmp_path / "part.csv").read_bytes() == before


def test_many_files_of_a_kind_are_counted_and_not_all_listed(tmp_path):
    raw = make_mvtec(tmp_path)
    for path in (raw / "part/test").rglob("*.png"):
        path.write_bytes(b"")
    for path in (raw / "part/train").rglob("*.png"):
        path.write_bytes(b"")
    line = table("small", [check_category("small", raw, "part", settings())]).splitlines()[-1]
    assert line.endswith(f"and {sum(COUNTS) - 5} more")
