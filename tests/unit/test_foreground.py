import numpy as np
import pytest
from skimage import color
from skimage.draw import disk, ellipse
from skimage.morphology import closing
from skimage.morphology import disk as disk_element

from tfcore.data.foreground import close, foreground_mask, lab, largest_components

SIDE = 128


def scene(
    background: tuple[int, int, int], colour: tuple[int, int, int], noise: float = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with an ellipse on a plain noisy background, and the ellipse."""
    rng = np.random.default_rng(0)
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[ellipse(60, 66, 30, 42)] = 1
    image = np.where(truth[..., None] > 0, colour, background) + rng.normal(0, noise, (SIDE, SIDE, 3))
    return image.clip(0, 255).astype(np.uint8), truth


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


@pytest.mark.parametrize(
    ("background", "colour"),
    [((230, 230, 230), (90, 90, 90)), ((15, 15, 15), (150, 110, 70)), ((110, 110, 110), (60, 170, 60))],
)
def test_object_is_found_on_bright_dark_and_grey_backgrounds(background, colour):
    image, truth = scene(background, colour)
    mask = foreground_mask(image)
    assert mask.dtype == np.uint8
    assert mask.shape == (SIDE, SIDE)
    assert set(np.unique(mask)) == {0, 1}
    assert overlap(mask, truth) > 0.93


def test_inside_of_an_object_belongs_to_it():
    image, truth = scene((230, 230, 230), (90, 90, 90))
    image[disk((60, 66), 12)] = (200, 190, 150)  # a pale inside, hardly darker than the background
    assert overlap(foreground_mask(image), truth) > 0.93


def test_background_seen_through_an_object_stays_background():
    image, truth = scene((230, 230, 230), (60, 60, 60), noise=2)
    hole = disk((60, 66), 14)
    image[hole] = (230, 230, 230)
    truth[hole] = 0
    assert overlap(foreground_mask(image), truth) > 0.9


def test_several_objects_stay_and_specks_go():
    image = np.full((SIDE, SIDE, 3), 220, np.uint8)
    for centre in ((30, 30), (30, 90), (90, 60)):
        image[disk(centre, 13)] = (40, 90, 40)
    image[100:102, 110:112] = 0
    mask = foreground_mask(image)
    assert all(mask[centre] for centre in ((30, 30), (30, 90), (90, 60)))
    assert not mask[95:107, 105:117].any()


def test_image_without_background_is_all_foreground():
    flat = np.full((SIDE, SIDE, 3), 128, np.uint8)
    assert foreground_mask(flat).all()
    flat[40, 40] = 130  # one speck is no object
    assert foreground_mask(flat).all()


def test_largest_component_stays_however_small():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[3, 3:6] = True
    assert np.array_equal(largest_components(mask), mask)
    assert not largest_components(np.zeros((SIDE, SIDE), bool)).any()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (250, 333), (512, 512), (7, 300)])
def test_any_size_gives_a_mask_of_that_size(height, width):
    image = np.full((height, width, 3), 225, np.uint8)
    truth = np.zeros((height, width), np.uint8)
    truth[ellipse(height / 2, width / 2, height / 4, width / 4)] = 1
    image[truth > 0] = (60, 80, 90)
    mask = foreground_mask(image)
    assert mask.shape == (height, width)
    assert overlap(mask, truth) > (0.93 if height > 7 else 0.5)


def test_an_object_that_leaves_the_image_is_not_eaten_at_the_border():
    image = np.full((SIDE, SIDE, 3), 225, np.uint8)
    image[40:90, 60:] = (60, 80, 90)
    mask = foreground_mask(image)
    assert mask[45:85, 65:].all()
    assert not mask[:30].any()


def test_colours_are_those_of_cielab():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    expected = color.rgb2lab(image).transpose(2, 0, 1) + np.array([16, 0, 0])[:, None, None]
    assert np.abs(lab(image) - expected).max() < 0.1


@pytest.mark.parametrize("radius", [1, 2, 3, 5])
def test_closing_is_that_of_a_disc_but_for_its_corners(radius):
    mask = np.zeros((90, 90), bool)
    for y, x in np.random.default_rng(radius).integers(15, 75, (12, 2)):
        mask[disk((y, x), 6)] = True
    closed = close(mask, radius)
    assert (closed >= mask).all()
    assert overlap(closed, closing(mask, disk_element(radius))) > 0.95
    gap = np.zeros((40, 40), bool)
    gap[10:30, 5:15] = gap[10:30, 15 + 2 * radius : 35] = True
    assert close(gap, radius)[15:25, 5:35].all()
    gap[:, 15 : 17 + 2 * radius] = False
    assert not close(gap, radius)[20, 16 + radius]


def test_only_rgb_is_taken():
    with pytest.raises(ValueError, match="RGB"):
        foreground_mask(np.zeros((8, 8), np.uint8))
