"""Reading images and masks of every kind, and resizing them."""

import numpy as np
import pytest
from PIL import Image

from tfcore.data.images import (
    centre_crop,
    pictures_below,
    read_image,
    read_mask,
    resize_image,
    resize_mask_antialiased,
    resize_mask_nearest,
)
from tfcore.predict import picture_files
from tfcore.runtime.errors import UserError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)


def saved(tmp_path, image, name="image.png"):
    image.save(tmp_path / name)
    return tmp_path / name


def make_files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_hidden_files_and_folders_are_no_pictures(tmp_path):
    make_files(tmp_path, "b.JPG", "a/c.png", "._b.JPG", ".DS_Store", ".thumbnails/a.png", "__MACOSX/a/._c.png", "d.txt")
    assert [path.name for path in pictures_below(tmp_path)] == ["c.png", "b.JPG"]
    make_files(tmp_path / ".cache/set", "e.png")  # the folder itself may be hidden
    assert [path.name for path in pictures_below(tmp_path / ".cache/set")] == ["e.png"]


def test_predictions_are_not_taken_for_pictures(tmp_path):
    make_files(tmp_path, "a.png", "b/a.png", "._a.png", "predictions/a_map.png", "predictions/b/a_overlay.png")
    assert list(picture_files([tmp_path], tmp_path / "predictions")) == ["a", "b/a"]
    assert list(picture_files([tmp_path / "predictions/a_map.png"], tmp_path / "predictions")) == ["a_map"]
    with pytest.raises(UserError, match="holds the pictures; give another folder"):
        picture_files([tmp_path], tmp_path)


def test_grey_becomes_three_equal_channels(tmp_path):
    image = read_image(saved(tmp_path, Image.fromarray(GREY)))
    assert image.dtype == np.uint8
    assert np.array_equal(image, np.repeat(GREY[..., None], 3, axis=2))


def test_colour_stays(tmp_path):
    assert np.array_equal(read_image(saved(tmp_path, Image.fromarray(RGB))), RGB)


def test_palette_gives_its_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    assert read_image(saved(tmp_path, image)).tolist() == [
        [[10, 20, 30], [200, 100, 50]],
        [[200, 100, 50], [10, 20, 30]],
    ]


def test_alpha_is_dropped(tmp_path):
    image = Image.fromarray(np.dstack([RGB, np.full((3, 4), 7, np.uint8)]))
    assert np.array_equal(read_image(saved(tmp_path, image)), RGB)


def test_16_bits_use_the_full_range(tmp_path):
    image = read_image(saved(tmp_path, Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16))))
    assert image[..., 0].tolist() == [[0, 1, 128, 255]]


def test_floating_point_is_refused(tmp_path):
    with pytest.raises(UserError, match="floating-point"):
        read_image(saved(tmp_path, Image.fromarray(GREY.astype(np.float32)), "image.tif"))


@pytest.mark.parametrize("name", ["broken.png", "broken.jpg"])
@pytest.mark.parametrize("content", [b"", b"no image at all", None], ids=["empty", "text", "truncated"])
def test_a_broken_file_is_named(content, name, tmp_path):
    path = tmp_path / name
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    with pytest.raises(UserError, match=rf"{name}: .*image"):
        read_image(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.png: no such file"):
        read_image(tmp_path / "gone.png")


MASK = np.array([[0, 1, 0], [0, 1, 1]], bool)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(MASK),
        Image.fromarray(MASK.astype(np.uint8) * 255),
        Image.fromarray(MASK.astype(np.uint8) * np.array([[1, 2, 3]], np.uint8)),
        Image.fromarray(MASK.astype(np.uint16) * 3),
        Image.fromarray(np.dstack([MASK, 0 * MASK, 0 * MASK]).astype(np.uint8) * 255),
        Image.fromarray(np.dstack([MASK, MASK, MASK, MASK | True]).astype(np.uint8) * 255),
    ],
    ids=["1 bit", "255", "class ids", "16 bits", "one of three channels", "opaque alpha"],
)
def test_every_kind_of_mask_reads_the_same(image, tmp_path):
    mask = read_mask(saved(tmp_path, image))
    assert mask.dtype == bool
    assert np.array_equal(mask, MASK)


def test_a_palette_mask_goes_by_its_colours(tmp_path):
    image = Image.fromarray(np.where(MASK, np.uint8(0), np.uint8(1)), "P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    assert np.array_equal(read_mask(saved(tmp_path, image)), MASK)


def test_a_jpeg_mask_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"mask\.jpg: a JPEG cannot be a mask"):
        read_mask(saved(tmp_path, Image.fromarray(GREY), "mask.jpg"))


def test_resizing_agrees_with_pillow_within_one_level():
    pixels = np.random.default_rng(0).integers(0, 255, (97, 141, 3), np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(resize_image(pixels, 32).astype(int) - expected).max() <= 1


def test_resizing_averages_all_pixels():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    inner = resize_image(stripes, 8)[:, 1:-1]
    assert np.abs(inner.astype(int) - 100).max() <= 1  # without antialiasing: 0 or 200


def test_the_two_mask_rules_differ_on_a_touched_pixel():
    mask = np.zeros((40, 40), bool)
    mask[10, 10] = True  # one pixel of a 10 × 10 block, off its centre
    assert resize_mask_nearest(mask, 4).sum() == 0
    touched = resize_mask_antialiased(mask, 4)
    assert touched[1, 1]
    assert touched.sum() == 4  # the triangle filter spans two blocks: all whose support contains the pixel
    mask[15, 15] = True
    assert np.argwhere(resize_mask_nearest(mask, 4)).tolist() == [[1, 1]]


def test_the_antialiased_rule_has_a_threshold_of_half_a_level():
    mask = np.zeros((512, 512), bool)
    mask[0, 511] = True  # weighs 1/256² of 255 or so: below 0.5
    assert resize_mask_antialiased(mask, 2).sum() == 0


@pytest.mark.parametrize("case", range(40))
def test_the_antialiased_rule_looks_at_a_part_and_gives_the_whole(case):
    rng = np.random.default_rng(case)
    height, width, size = (int(rng.integers(low, high)) for low, high in ((5, 200), (5, 200), (2, 120)))
    mask = np.zeros((height, width), bool)
    for _ in range(case % 4):
        y, x = rng.integers(height), rng.integers(width)
        mask[y : y + rng.integers(1, 1 + height // 3), x : x + rng.integers(1, 1 + width // 3)] = True
    whole = Image.fromarray(np.where(mask, np.float32(255), np.float32(0)))
    expected = np.asarray(whole.resize((size, size), Image.Resampling.BILINEAR)) > 0.5
    assert np.array_equal(resize_mask_antialiased(mask, size), expected)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("RGB", {"subsampling": 0}),
        ("RGB", {"subsampling": 1, "progressive": True}),
        ("RGB", {"keep_rgb": True}),
        ("L", {}),
        ("CMYK", {}),
    ],
)
def test_a_jpeg_has_the_pixels_that_pillow_gives(mode, options, tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (61, 77, 3), np.uint8))
    noise.convert(mode).save(tmp_path / "image.jpg", quality=92, **options)
    expected = np.asarray(Image.open(tmp_path / "image.jpg").convert("RGB"))
    assert np.array_equal(read_image(tmp_path / "image.jpg"), expected)


def test_centre_crop():
    images = np.arange(2 * 6 * 6 * 3).reshape(2, 6, 6, 3)
    assert np.array_equal(centre_crop(images, 4), images[:, 1:5, 1:5])
    assert centre_crop(images, 6).shape == images.shape
    with pytest.raises(UserError, match=r"data\.crop: 7 is larger"):
        centre_crop(images, 7)
