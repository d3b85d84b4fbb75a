"""Packing: what training and inference read is what lies in the files."""

import errno
import hashlib

import numpy as np
import pytest
from small_data import COUNTS, make_mvtec, make_visa, picture, save, settings, square
from small_disk import small_disk

import tfcore.data.pack
from tfcore.data.check import check_data
from tfcore.data.images import resize_image, resize_mask_antialiased, resize_mask_nearest
from tfcore.data.pack import pack, pack_textures
from tfcore.data.packed import Packed, packed_textures
from tfcore.runs.stages import PACK_VERSION
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import read_json
from tfcore.settings.sections import TextureSettings

SIZE = 16
TRAIN, GOOD, BAD = COUNTS


def packed(tmp_path, data=None, checked=None, resize=SIZE):
    raw, data = tmp_path / "raw", data or settings()
    if checked is not False:
        check_data("small", raw, data, {"part": tmp_path / "part.csv"})
    pack("small", "part", raw, data, {"resize": resize}, tmp_path / "part.csv", tmp_path / "packed")
    return Packed(tmp_path / "packed")


def test_arrays_hold_the_files(tmp_path):
    make_mvtec(tmp_path / "raw")
    data = packed(tmp_path)
    assert (data.dataset, data.category, data.size) == ("small", "part", SIZE)
    assert data.train_images().shape == (TRAIN, SIZE, SIZE, 3)
    assert data.files == [f"part/test/bad/{n:03d}.png" for n in range(BAD)] + [
        f"part/test/good/{n:03d}.png" for n in range(GOOD)
    ]
    assert data.labels.tolist() == [1] * BAD + [0] * GOOD
    assert data.defects == ["bad"] * BAD + ["good"] * GOOD
    for number in range(TRAIN):
        assert np.array_equal(data.train_images()[number], resize_image(picture(number), SIZE))
    for number in range(BAD):
        assert np.array_equal(data.test_images()[number], resize_image(picture(20 + number), SIZE))
        assert np.array_equal(data.masks("nearest")[number], resize_mask_nearest(square(number), SIZE))
        assert np.array_equal(data.masks("antialiased")[number], resize_mask_antialiased(square(number), SIZE))
    assert not data.masks("nearest")[BAD:].any()
    assert data.masks("nearest").max() == 1
    assert data.test_images(8).shape == (BAD + GOOD, 8, 8, 3)
    assert np.array_equal(data.masks("nearest", 8), data.masks("nearest")[:, 4:12, 4:12])


def test_both_layouts_pack_the_same_pixels(tmp_path):
    make_mvtec(tmp_path / "a/raw")
    make_visa(tmp_path / "b/raw")
    one, two = packed(tmp_path / "a"), packed(tmp_path / "b", settings("visa"))
    assert one.about["sha256"] == two.about["sha256"]
    assert one.about["counts"] == two.about["counts"] == {"train": TRAIN, "good": GOOD, "anomalous": BAD}


def test_packing_again_gives_the_same_record(tmp_path):
    make_mvtec(tmp_path / "raw")
    before = packed(tmp_path).about
    assert packed(tmp_path).about == before and before["version"] == PACK_VERSION
    manifest = hashlib.sha256((tmp_path / "part.csv").read_bytes()).hexdigest()
    assert before["manifest_sha256"] == manifest


def test_foregrounds_are_ones_for_textures_computed_or_read(tmp_path):
    make_mvtec(tmp_path / "raw")
    assert packed(tmp_path).foregrounds().all()
    data = settings().model_copy(update={"textures": []})
    computed = packed(tmp_path, data, resize=64).foregrounds(32)
    assert computed.shape == (TRAIN, 32, 32)
    assert 0.2 < packed(tmp_path, data, resize=64).foregrounds().mean() < 0.27  # the square covers 0.23
    for number in range(TRAIN):
        save(square(number), tmp_path / f"fg/part/{number:03d}.png")
    given = data.model_copy(update={"foregrounds": str(tmp_path / "fg")})
    read = packed(tmp_path, given).foregrounds()
    assert np.array_equal(read[1], resize_mask_nearest(square(1), SIZE))
    save(square(2), tmp_path / "fg/part/001.png")
    with pytest.raises(UserError, match=r"fg/part/001\.png: differs from the manifest .*; run check-data again"):
        packed(tmp_path, given, checked=False)
    assert np.array_equal(packed(tmp_path, given).foregrounds()[1], resize_mask_nearest(square(2), SIZE))
    (tmp_path / "fg/part/002.png").unlink()
    with pytest.raises(UserError, match=r"fg/part/002\.png: cannot be read: No such file"):
        packed(tmp_path, given, checked=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("train/good/002.png", r"train/good/002\.png: corrupt image"),
        ("ground_truth/bad/001_mask.png", r"001_mask\.png: corrupt image"),
    ],
)
def test_a_corrupt_file_is_named_and_nothing_is_written(name, message, tmp_path):
    raw = make_mvtec(tmp_path / "raw")
    path = raw / "part" / name
    path.write_bytes(path.read_bytes()[:-30])
    (tmp_path / "part.csv").write_text(_manifest(raw))
    with pytest.raises(UserError, match=message):
        packed(tmp_path, checked=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part.csv", "raw"]


def _manifest(raw):
    lines = ["file,size,sha256,category,split,label"]
    for path in raw.rglob("*.png"):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        lines.append(f"{path.relative_to(raw).as_posix()},{len(content)},{digest},part,train,0")
    return "\n".join(lines) + "\n"


def test_a_mask_of_another_size_is_refused(tmp_path):
    raw = make_mvtec(tmp_path / "raw")
    save(square(0)[:, :9], raw / "part/ground_truth/bad/000_mask.png")
    (tmp_path / "part.csv").write_text(_manifest(raw))
    with pytest.raises(UserError, match=r"000_mask\.png: 9 × 20, its image 30 × 20"):
        packed(tmp_path, checked=False)


def test_a_missing_mask_is_refused(tmp_path):
    raw = make_mvtec(tmp_path / "raw")
    (raw / "part/ground_truth/bad/001_mask.png").unlink()
    with pytest.raises(UserError, match=r"part/test/bad/001\.png: its mask is missing"):
        packed(tmp_path, checked=False)


def test_files_that_are_not_those_of_the_manifest_are_refused(tmp_path):
    raw = make_mvtec(tmp_path / "raw")
    with pytest.raises(UserError, match=r"part\.csv: no manifest; run check-data first"):
        packed(tmp_path, checked=False)
    packed(tmp_path)
    save(picture(99), raw / "part/train/good/001.png")
    with pytest.raises(UserError, match=r"train/good/001\.png: differs from the manifest"):
        packed(tmp_path, checked=False)
    save(picture(1), raw / "part/train/good/001.png")
    save(picture(98), raw / "part/train/good/099.png")
    with pytest.raises(UserError, match=r"099\.png: not in the manifest"):
        packed(tmp_path, checked=False)
    (raw / "part/train/good/099.png").unlink()
    (raw / "part/train/good/003.png").unlink()
    with pytest.raises(UserError, match=r"003\.png: in the manifest .*, but missing"):
        packed(tmp_path, checked=False)


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_without_space_for_the_pack_is_one_line_and_nothing_stays(tmp_path, monkeypatch):
    make_mvtec(tmp_path / "raw")
    monkeypatch.setattr(tfcore.data.pack.os, "posix_fallocate", no_space, raising=False)
    with pytest.raises(UserError, match=r"^packing small/part: the disk is full; free some space and run again$"):
        packed(tmp_path)
    with pytest.raises(UserError, match=r"^packing textures: the disk is full; free some space and run again$"):
        pack_textures(tmp_path / "raw", TextureSettings(), tmp_path / "textures")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part.csv", "raw"]


def test_a_full_disk_does_not_kill_packing(tmp_path):
    make_mvtec(tmp_path / "raw")
    check_data("small", tmp_path / "raw", settings(), {"part": tmp_path / "part.csv"})
    disk = tmp_path / "disk"
    with small_disk(disk, 64):
        with pytest.raises(UserError, match="packing small/part: the disk is full"):
            pack("small", "part", tmp_path / "raw", settings(), {"resize": 128}, tmp_path / "part.csv", disk / "out")
        with pytest.raises(UserError, match="packing textures: the disk is full"):
            pack_textures(tmp_path / "raw", TextureSettings(size=128), disk / "textures")
        assert not list(disk.iterdir())


def test_a_file_system_that_cannot_reserve_space_is_used_as_it_is(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    make_mvtec(tmp_path / "raw")
    monkeypatch.setattr(tfcore.data.pack.os, "posix_fallocate", unsupported, raising=False)
    assert len(packed(tmp_path).train_images()) == TRAIN


def test_a_damaged_pack_is_noticed(tmp_path):
    with pytest.raises(UserError, match="not packed yet"):
        Packed(tmp_path / "packed")
    make_mvtec(tmp_path / "raw")
    data = packed(tmp_path)
    with pytest.raises(UserError, match=r"data\.crop: 17 is larger"):
        data.test_images(17)
    np.save(tmp_path / "packed/images.npy", np.zeros((3, SIZE, SIZE, 3), np.uint8))
    with pytest.raises(UserError, match=r"images\.npy: shape .* pack again"):
        data.test_images()
    (tmp_path / "packed/masks_nearest.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"masks_nearest\.npy: missing or damaged"):
        data.masks("nearest")


def test_textures_of_any_folder_are_packed_in_the_order_of_their_names(tmp_path):
    for number in range(10):
        save(picture(number), tmp_path / f"raw/{'ab'[number % 2]}/{number}.png")
    pack_textures(tmp_path / "raw", TextureSettings(size=8), tmp_path / "all")
    textures = packed_textures(tmp_path / "all")
    assert textures.shape == (10, 8, 8, 3)
    assert textures[:, 0, 0, 0].tolist() == [40, 42, 44, 46, 48, 41, 43, 45, 47, 49]
    pack_textures(tmp_path / "raw", TextureSettings(size=8, limit=4), tmp_path / "some")
    assert packed_textures(tmp_path / "some")[:, 0, 0, 0].tolist() == [40, 44, 41, 45]
    about = read_json(tmp_path / "some/pack.json")
    assert about["count"] == 4 and about["version"] == PACK_VERSION


def test_a_folder_without_textures_is_refused(tmp_path):
    with pytest.raises(UserError, match="no images below it"):
        pack_textures(tmp_path, TextureSettings(), tmp_path / "out")
