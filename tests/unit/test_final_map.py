"""Final maps (Eqs. 10 and 11) against a plain loop, and reading of maps files."""

import numpy as np
import pytest
from maps_file import made_up_maps
from safetensors.numpy import save_file

from tfcore.methods.transfusion.maps import final_maps, mean_filter
from tfcore.metrics.maps import MapsFile
from tfcore.runtime.errors import UserError


def plain_mean_filter(image, kernel):
    half = kernel // 2
    padded = np.pad(image.astype(np.float64), half)
    return np.array(
        [
            [padded[row : row + kernel, column : column + kernel].mean() for column in range(image.shape[1])]
            for row in range(image.shape[0])
        ]
    )


@pytest.mark.parametrize("kernel", [1, 3, 7, 11])
def test_final_map_equals_plain_loop(kernel):
    rng = np.random.default_rng(0)
    disc, recon = rng.random((2, 2, 12, 9)).astype(np.float32)
    expected = [plain_mean_filter(0.9 * d + 0.1 * r, kernel) for d, r in zip(disc, recon, strict=True)]
    np.testing.assert_allclose(final_maps(disc, recon, 0.9, kernel), expected, atol=1e-6)


def test_filter_pads_with_zeros_and_stays_in_its_image():
    maps = np.zeros((3, 5, 5), dtype=np.float32)
    maps[1] = 1
    filtered = mean_filter(maps, 3)
    assert filtered[1, 2, 2] == 1
    assert filtered[1, 0, 0] == pytest.approx(4 / 9)
    assert filtered[[0, 2]].max() == 0


def test_even_kernel_and_unequal_maps_are_refused():
    maps = np.zeros((1, 4, 4), dtype=np.float32)
    with pytest.raises(UserError, match="odd"):
        mean_filter(maps, 4)
    with pytest.raises(UserError, match="must be equal"):
        final_maps(maps, maps[:, :3], 0.5, 3)


def test_maps_file_is_read_with_the_mask_rule(tmp_path):
    path = tmp_path / "maps.safetensors"
    arrays = made_up_maps(path, dtype=np.float16)
    source = MapsFile(path)
    assert source["disc"].dtype == np.float16
    for rule in ("nearest", "antialiased"):
        assert (source.masks(rule) == arrays[f"mask_{rule}"].astype(bool)).all()
    assert source.header["run"]["category"] == "cap"
    assert (source["last"] == arrays["last"]).all()
    assert set(source) == set(arrays) and "reconstruction" not in source


def test_rows_of_a_maps_file_come_in_the_order_asked_for(tmp_path):
    arrays = made_up_maps(tmp_path / "maps.safetensors", count=9)
    source = MapsFile(tmp_path / "maps.safetensors", [7, 0, 7])
    assert (source["disc"] == arrays["disc"][[7, 0, 7]]).all()
    assert (source.masks("nearest") == arrays["mask_nearest"][[7, 0, 7]].astype(bool)).all()
    assert source.labels.tolist() == [1, 0, 1]
    assert MapsFile(tmp_path / "maps.safetensors", [])["disc"].shape == (0, 24, 24)


def test_asking_whether_an_array_is_there_reads_none(tmp_path, monkeypatch):
    made_up_maps(tmp_path / "maps.safetensors", count=9)
    source = MapsFile(tmp_path / "maps.safetensors")
    (tmp_path / "maps.safetensors").unlink()
    assert "last" in source and "reconstruction" not in source


def test_bad_maps_files_are_one_clear_line(tmp_path):
    path = tmp_path / "maps.safetensors"
    with pytest.raises(UserError, match="no such file"):
        MapsFile(path)
    made_up_maps(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"maps\.safetensors: cannot be read"):
        MapsFile(path)
    save_file({"disc": np.zeros((1, 2, 2))}, path)
    with pytest.raises(UserError, match=r"maps\.safetensors: no array 'label'"):
        MapsFile(path)
    arrays = made_up_maps(path)
    save_file(arrays | {"last": arrays["last"][1:]}, path)
    with pytest.raises(UserError, match=r"'last' has the shape \(29, 24, 24\) for 30 labels"):
        MapsFile(path)


def test_a_map_that_the_method_needs_and_that_is_missing_is_one_clear_line(tmp_path):
    path = tmp_path / "maps.safetensors"
    arrays = made_up_maps(path)
    del arrays["recon"]
    save_file(arrays, path)
    with pytest.raises(UserError, match=r"maps\.safetensors: no array 'recon' in it"):
        MapsFile(path)["recon"]
