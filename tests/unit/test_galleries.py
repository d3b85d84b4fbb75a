import numpy as np
import torch
from PIL import Image

from tfcore.methods.transfusion.samples import mask_pixels, to_pixels
from tfcore.report.figures.galleries import draw_sheet, side_by_side, spread


def test_pixels_and_masks_become_uint8():
    images = torch.tensor([-1.2, -1.0, 0.0, 1.0]).view(1, 1, 1, 4).expand(1, 3, 1, 4)
    assert to_pixels(images)[0, 0, :, 0].tolist() == [0, 0, 128, 255]
    assert mask_pixels(torch.tensor([[[[0.0, 1.0]]]]))[0, 0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_rows_are_spread_and_repeat_when_few():
    assert spread(320, 32)[[0, -1]].tolist() == [0, 319]
    assert sorted(set(spread(3, 16).tolist())) == [0, 1, 2]


def test_sheet_is_the_same_bytes_every_time(tmp_path):
    panel = np.arange(5 * 8 * 8 * 3, dtype=np.uint8).reshape(5, 8, 8, 3)
    strips = side_by_side(panel, panel)
    assert strips.shape == (5, 8, 18, 3)
    for name in ("a.png", "b.png"):
        draw_sheet(strips, 4, "title", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").width > 500
