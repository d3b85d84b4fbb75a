import pytest
import torch
from method_settings import training_settings
from scipy import stats

from tfcore.anomalies.geometry import rotate
from tfcore.anomalies.perlin import perlin_noise, random_perlin
from tfcore.anomalies.synthesis import anomalous_images
from tfcore.anomalies.textures import OPERATIONS, augment, autocontrast, equalize, shuffle_tiles
from tfcore.methods.transfusion.batch import make_batch, previous_masks
from tfcore.runtime.errors import UserError

STILL = {"rotation_probability": 0.0}
PLAIN = STILL | {"operations": 0}  # quick


def material(batch: int, size: int = 32, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, foregrounds (a rectangle off the centre) and textures, all uint8."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (batch, size, size, 3), generator=generator, dtype=torch.uint8)
    foregrounds = torch.zeros(batch, size, size, dtype=torch.uint8)
    foregrounds[:, 4 : size - 8, 6 : size - 4] = 1
    textures = torch.randint(0, 256, (5, size, size, 3), generator=generator, dtype=torch.uint8)
    return images, foregrounds, textures


def batch_of(count: int, protocol: str = "paper", seed: int = 0, size: int = 32, **anomalies):
    settings = training_settings(protocol, anomalies=anomalies)
    return make_batch(*material(count, size), settings, torch.Generator().manual_seed(seed))


def noise_of(count: int, seed: int = 0, size: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return random_perlin(count, (0, 5), size, size, generator, torch.device("cpu"))


def within(share: float, expected: float, count: int) -> bool:
    """Is a share plausible for this many independent draws (five standard deviations)?"""
    return abs(share - expected) < 5 * (expected * (1 - expected) / count) ** 0.5 + 1e-9


# Perlin noise


def plain_perlin(angles: torch.Tensor, cells: tuple[int, int], height: int, width: int) -> torch.Tensor:
    """Perlin noise pixel by pixel, as in the textbook."""

    def fade(f: float) -> float:
        return 6 * f**5 - 15 * f**4 + 10 * f**3

    noise = torch.zeros(height, width)
    for row in range(height):
        for column in range(width):
            y, x = row * cells[0] / height, column * cells[1] / width
            i, j = int(y), int(x)
            corner = {}
            for a in (0, 1):
                for b in (0, 1):
                    angle = angles[i + a, j + b]
                    corner[a, b] = angle.cos() * (y - i - a) + angle.sin() * (x - j - b)
            u, v = fade(y - i), fade(x - j)
            top = corner[0, 0] * (1 - v) + corner[0, 1] * v
            bottom = corner[1, 0] * (1 - v) + corner[1, 1] * v
            noise[row, column] = 2**0.5 * (top * (1 - u) + bottom * u)
    return noise


@pytest.mark.parametrize("cells", [(1, 1), (4, 2), (2, 8)])
def test_perlin_noise_is_the_textbook_s(cells):
    angles = 6.28 * torch.rand(1, 9, 9, generator=torch.Generator().manual_seed(3))
    noise = perlin_noise(angles, torch.tensor([cells], dtype=torch.float32), 12, 10)
    assert torch.allclose(noise[0], plain_perlin(angles[0], cells, 12, 10), atol=1e-5)


def test_perlin_noise_vanishes_on_the_lattice_and_stays_in_range():
    noise = noise_of(2000)
    assert noise.abs().max() < 1.1
    angles = torch.rand(3, 33, 33, generator=torch.Generator().manual_seed(0))
    on_lattice = perlin_noise(angles, torch.full((3, 2), 4.0), 16, 16)[:, ::4, ::4]
    assert on_lattice.abs().max() < 1e-6


def test_every_resolution_per_axis_is_drawn_equally(monkeypatch):
    drawn = []
    monkeypatch.setattr("tfcore.anomalies.perlin.perlin_noise", lambda angles, cells, *size: drawn.append(cells))
    noise_of(3000)
    for axis in (0, 1):
        counts = torch.bincount(drawn[0][:, axis].log2().long(), minlength=6)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4


@pytest.mark.parametrize(("threshold", "expected"), [(0.3, 0.3381), (0.5, 0.1131), (0.7, 0.0110)])
def test_share_of_anomalous_pixels(threshold, expected):
    # Expected values: mean over 40 000 samples of 64×64 pixels, without rotation.
    share = (noise_of(2000, size=64).abs() > threshold).float().mean((1, 2))
    assert share.mean().item() == pytest.approx(expected, abs=5 * share.std().item() / 2000**0.5)


# Sources


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_operations_keep_range_and_treat_samples_apart(operation):
    images = material(4)[0].permute(0, 3, 1, 2).float()
    result = operation(images, torch.Generator().manual_seed(0))
    assert result.shape == images.shape
    assert result.isfinite().all()
    assert result.min() >= -1e-3
    assert result.max() <= 255.001
    changed = images.clone()
    changed[0] = 0
    again = operation(changed, torch.Generator().manual_seed(0))
    assert torch.allclose(again[1:], result[1:], atol=1e-3)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_operations_change_most_images(operation):
    images = material(40)[0].permute(0, 3, 1, 2).float() * 0.5 + 40
    result = operation(images, torch.Generator().manual_seed(0))
    changed = (result - images).abs().amax((1, 2, 3)) > 1
    assert changed.float().mean() >= 0.3


def test_operations_on_the_histogram_are_those_of_sorted_pixels():
    images = material(6, 30)[0].permute(0, 3, 1, 2).float() * 0.3 + 70
    images = images.round()
    images[0, 1] = 91  # a flat channel
    pixels = images.flatten(2)
    rank = (pixels[..., None] >= pixels[:, :, None]).sum(dim=3)
    equal = equalize(images, torch.Generator()).flatten(2)
    assert torch.allclose(equal, 255 * rank / 900, atol=1e-3)

    shares = 0.2 * torch.rand(6, generator=torch.Generator().manual_seed(4))
    found = autocontrast(images, torch.Generator().manual_seed(4))
    for image, result, share in zip(images, found, shares.tolist(), strict=True):
        cut = int(share * 899)
        for channel, stretched in zip(image, result, strict=True):
            ordered = channel.flatten().sort().values
            low, high = ordered[cut], ordered[899 - cut]
            expected = ((channel - low) * 255 / (high - low)).clamp(0, 255) if high > low else channel
            assert torch.allclose(stretched, expected, atol=1e-3)


def test_augmented_images_stay_in_range_and_are_numbers():
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        images = torch.randint(0, 256, (32, 3, 24, 24), generator=generator).float()
        images[::2] = images[::2] // 128 * 255  # saturated colours, where rounding leaves the range
        result = augment(images, 3, generator)
        assert torch.isfinite(result).all()
        assert result.min() >= 0
        assert result.max() <= 255


def test_augment_applies_as_many_different_operations_as_asked(monkeypatch):
    def adding(value):
        return lambda images, generator: images + value

    monkeypatch.setattr("tfcore.anomalies.textures.OPERATIONS", tuple(adding(2.0**k / 8) for k in range(10)))
    generator = torch.Generator().manual_seed(0)
    sums = (8 * augment(torch.zeros(2000, 1, 1, 1), 3, generator)).flatten().long()  # within [0, 255]
    bits = torch.stack([(sums >> k) & 1 for k in range(10)])
    assert (bits.sum(0) == 3).all()  # three, none twice
    assert all(within(share, 0.3, 2000) for share in bits.float().mean(1).tolist())
    assert torch.equal(augment(torch.ones(2, 3, 4, 4), 0, generator), torch.ones(2, 3, 4, 4))


@pytest.mark.parametrize(("size", "tiles"), [(32, 8), (30, 8), (28, 4)])
def test_tiles_are_permuted(size, tiles):
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    shuffled = shuffle_tiles(images, tiles, torch.Generator().manual_seed(1))
    assert shuffled.shape == images.shape
    assert not torch.equal(shuffled, images)
    if size % tiles == 0:
        assert torch.equal(shuffled.flatten(2).sort(2).values, images.flatten(2).sort(2).values)
        side = size // tiles
        parts = images.unfold(2, side, side).unfold(3, side, side).permute(0, 2, 3, 1, 4, 5).flatten(1, 2)
        first = shuffled[:, :, :side, :side]
        assert all((parts[i] == first[i]).flatten(1).all(1).any() for i in range(3))


# The batch


@pytest.mark.parametrize("protocol", ["paper", "release"])
def test_masks_stay_on_the_dilated_foreground_and_images_are_untouched_elsewhere(protocol):
    batch = batch_of(150, protocol, **STILL, fraction=1.0)
    images, foregrounds, _ = material(150)
    dilated = torch.zeros_like(foregrounds)
    dilated[:, 2:-6, 4:-2] = 1  # 5×5: two pixels on every side
    outside = dilated[:, None] == 0
    assert not batch.mask[outside].any()
    assert not batch.previous_mask[outside].any()
    assert batch.mask.any()
    assert batch.mask[dilated[:, None] == 1].mean() > 0.05
    assert set(batch.mask.unique().tolist()) == set(batch.previous_mask.unique().tolist()) == {0.0, 1.0}
    normal = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    assert torch.equal(batch.normal, normal)
    untouched = (batch.mask == 0).expand_as(normal)
    assert torch.equal(batch.x_t[untouched], normal[untouched])
    assert not batch.anomaly[untouched].any()


def test_without_foreground_anomalies_lie_anywhere():
    batch = batch_of(500, size=16, **PLAIN, fraction=1.0, foreground=False)
    assert (batch.mask.amax(0) > 0).float().mean() > 0.9


def test_dilation_of_one_pixel_is_none():
    batch = batch_of(500, size=16, **PLAIN, fraction=1.0, foreground_dilation=1)
    foregrounds = material(500, 16)[1]
    assert not batch.mask[foregrounds[:, None] == 0].any()
    assert batch.mask.amax(0)[0].sum() == foregrounds[0].sum()


@pytest.mark.parametrize(
    ("size", "fraction", "expected"), [(8, 0.5, 4), (7, 0.5, 3), (1, 0.5, 1), (8, 0.0, 0), (8, 1.0, 8)]
)
def test_share_of_a_batch_with_anomalies(size, fraction, expected):
    assert anomalous_images(size, fraction) == expected
    batch = batch_of(size, fraction=fraction, **STILL)
    assert not batch.mask[expected:].any()
    assert not batch.previous_mask[expected:].any()
    assert torch.equal(batch.x_t[expected:], batch.normal[expected:])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_share_of_textures(share):
    images, foregrounds, _ = material(1000, 16)
    images = images // 2  # darker than any texture
    textures = torch.full((1, 16, 16, 3), 255, dtype=torch.uint8)
    settings = training_settings(anomalies={"texture_fraction": share, "fraction": 1.0, "foreground": False} | PLAIN)
    batch = make_batch(images, foregrounds, textures, settings, torch.Generator().manual_seed(0))
    anomalous = batch.mask.flatten(1).any(1)
    textured = (batch.anomaly.amax((1, 2, 3)) > 0.99)[anomalous]
    assert anomalous.sum() > 600
    assert within(textured.float().mean().item(), share, int(anomalous.sum()))


def test_structure_source_is_made_of_the_image_s_own_pixels():
    batch = batch_of(20, texture_fraction=0.0, fraction=1.0, tiles=8, foreground=False, **PLAIN)
    for normal, anomaly, mask in zip(batch.normal, batch.anomaly, batch.mask, strict=True):
        values = anomaly[0][mask[0] > 0]
        assert torch.isin(values, normal[0].unique()).all()


def test_transparency_blends_the_image_in():
    opaque = batch_of(20, fraction=1.0, transparency=(0.0, 0.0), **PLAIN)
    half = batch_of(20, fraction=1.0, transparency=(0.5, 0.5), **PLAIN)
    assert torch.allclose(half.anomaly, 0.5 * (opaque.anomaly + opaque.mask * opaque.normal), atol=1e-5)


def test_timesteps_cover_their_range():
    for protocol, highest in (("paper", 20), ("release", 19)):
        t = batch_of(4000, protocol, size=16, fraction=0.0).t
        counts = torch.bincount(t, minlength=highest + 1)
        assert counts[0] == 0
        assert len(counts) == highest + 1
        assert stats.chisquare(counts[1:].numpy()).pvalue > 1e-4


@pytest.mark.parametrize("protocol", ["paper", "release"])
def test_same_seed_same_batch_whatever_came_before(protocol):
    first = batch_of(8, protocol, seed=7)
    torch.rand(1000)
    batch_of(3, protocol, seed=1)
    again, other = batch_of(8, protocol, seed=7), batch_of(8, protocol, seed=8)
    for name in ("normal", "anomaly", "mask", "previous_mask", "t", "x_t"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name
    assert not torch.equal(first.mask, other.mask)


# The simulated previous mask


DRAWS = 4000


def simulated(protocol: str, values: tuple[float, ...], **anomalies) -> torch.Tensor:
    """Simulate the previous masks (DRAWS, len(values)) of images whose noise has these values."""
    noise = torch.tensor(values).expand(DRAWS, 1, 1, -1)
    options = training_settings(protocol, anomalies=anomalies).anomalies
    return previous_masks(noise, options, torch.Generator().manual_seed(5)).flatten(1)


@pytest.mark.parametrize("dropout", [0.0, 0.25, 1.0])
def test_share_of_dropped_masks(dropout):
    previous = simulated("paper", (0.9999,), previous_mask_dropout=dropout)
    assert within(1 - previous.mean().item(), dropout, DRAWS)


def test_imperfect_masks_are_smaller_or_larger_in_equal_parts():
    inside, just_below, just_above = simulated("paper", (0.9999, 0.4999, 0.5001), previous_mask_dropout=0.0).T
    assert inside.all()
    assert within(just_below.mean().item(), 0.5, DRAWS)
    assert (just_above - just_below).abs().mean() < 0.005  # nearly no threshold lies between them
    spread = simulated("paper", (0.25, 0.75), previous_mask_dropout=0.0).mean(0)
    assert within(spread[0].item(), 0.25, DRAWS)
    assert within(spread[1].item(), 0.75, DRAWS)


def test_released_masks_come_from_four_thresholds():
    inside, just_below, just_above = simulated("release", (0.9999, 0.4999, 0.5001)).T
    assert within(inside.mean().item(), 0.75, DRAWS)  # a quarter is thresholded at the maximum
    assert within(just_above.mean().item(), 0.5, DRAWS)  # the same threshold, or a lower one
    assert within(just_below.mean().item(), 0.25, DRAWS)  # a lower one


def test_released_maximum_leaves_larger_negative_lobes():
    positive, negative = simulated("release", (0.3, -0.9999)).T
    assert negative.all()
    assert positive.mean() < 0.25


def test_released_previous_mask_is_empty_at_the_last_step():
    release = batch_of(400, "release", size=16, fraction=1.0, **PLAIN)
    last = release.t == 19
    assert not release.previous_mask[last].any()
    assert release.previous_mask[~last].any()
    paper = batch_of(400, "paper", size=16, fraction=1.0, **PLAIN)
    assert paper.previous_mask[paper.t == 20].any()


def test_previous_mask_can_be_left_out():
    assert not batch_of(100, previous_mask="none", fraction=1.0).previous_mask.any()


# Rotation


def test_rotation_turns_by_the_angle():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.equal(rotate(image, torch.tensor([90.0]), "nearest"), image.rot90(1, (2, 3)))
    assert torch.equal(rotate(image, torch.tensor([0.0]), "nearest"), image)
    wide = torch.arange(32.0).view(1, 1, 4, 8)
    assert torch.equal(rotate(wide, torch.tensor([180.0]), "nearest"), wide.flip(2, 3))
    stick = torch.zeros(1, 1, 15, 31)
    stick[0, 0, 7, 10:21] = 1
    turned = rotate(stick, torch.tensor([90.0]), "nearest")
    assert turned[0, 0, 2:13, 15].all()  # not distorted in a frame that is not square


def test_share_of_rotated_samples():
    images = material(1500, 16)[0].permute(0, 3, 1, 2).float() / 127.5 - 1
    batch = batch_of(1500, size=16, fraction=0.0, rotation_degrees=180.0)
    turned = (batch.normal != images).flatten(1).any(1)  # an angle below a degree or two moves no pixel
    assert within(turned.float().mean().item(), 0.3 * 0.98, 1500)


def test_all_maps_turn_together():
    images = torch.full((100, 16, 16, 3), 255, dtype=torch.uint8)
    foregrounds, textures = torch.ones(100, 16, 16, dtype=torch.uint8), material(1, 16)[2]
    all_over = {"fraction": 1.0, "threshold": 0.01, "previous_mask_dropout": 0.0, "rotation_probability": 1.0}
    settings = training_settings(anomalies=PLAIN | all_over)
    batch = make_batch(images, foregrounds, textures, settings, torch.Generator().manual_seed(2))
    outside = batch.normal[:, :1] == 0  # corners that come from outside the frame
    assert outside.flatten(1).any(1).float().mean() > 0.5
    assert not batch.mask[outside].any()
    assert not batch.previous_mask[outside].any()
    assert not batch.x_t[outside.expand_as(batch.x_t)].any()


@pytest.mark.parametrize("protocol", ["paper", "release"])
def test_rotated_samples_still_obey_the_composition(protocol):
    batch = batch_of(40, protocol, fraction=1.0, rotation_probability=1.0)
    beta = batch.betas[batch.t].view(-1, 1, 1, 1)
    expected = batch.normal + beta * batch.mask * (batch.anomaly - batch.normal)
    assert torch.allclose(batch.x_t, expected, atol=1e-6)
    assert set(batch.mask.unique().tolist()) == {0.0, 1.0}


# Bad input


def test_textures_of_another_size_are_resized():
    images, foregrounds, _ = material(4)
    textures = torch.full((2, 48, 48, 3), 200, dtype=torch.uint8)
    settings = training_settings(anomalies={"fraction": 1.0, "texture_fraction": 1.0} | PLAIN)
    batch = make_batch(images, foregrounds, textures, settings, torch.Generator().manual_seed(0))
    values = batch.anomaly[(batch.mask > 0).expand_as(batch.anomaly)]
    assert torch.allclose(values, torch.full_like(values, 200 / 127.5 - 1), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, f, t: (i.float(), f, t), "images: expected uint8"),
        (lambda i, f, t: (i.permute(0, 3, 1, 2), f, t), "images: expected uint8"),
        (lambda i, f, t: (i, f[:, :-1], t), "do not match"),
        (lambda i, f, t: (i, f, t[:0]), "textures: none given"),
        (lambda i, f, t: (i, f, t[..., :1]), "textures: expected uint8"),
    ],
)
def test_wrong_tensors_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        make_batch(*change(*material(2)), training_settings(), torch.Generator().manual_seed(0))
