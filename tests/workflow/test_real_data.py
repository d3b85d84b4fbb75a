"""The road from archive to pack on real images, reduced copies in the official layouts, where they are at hand.

Without Snakemake, but too long for a unit test.
"""

from pathlib import Path

import pytest

from tfcore.data.check import check_data
from tfcore.data.fetch import fetch
from tfcore.data.pack import pack, pack_textures
from tfcore.data.packed import Packed, packed_textures
from tfcore.methods.registry import load_settings
from tfcore.settings.sections import TextureSettings

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared/data"


def needs(name):
    return pytest.mark.skipif(not (DATA / name).exists(), reason=f"needs the reduced real data shared/data/{name}")


@pytest.mark.parametrize(
    ("dataset", "category", "name", "counts", "foreground"),
    [
        pytest.param(*row, marks=needs(row[2]), id=row[1])
        for row in (
            ("visa", "capsules", "VisA_capsules_512.tar", (542, 60, 100), (0.3, 0.5)),
            ("mvtec_ad", "screw", "mvtec_screw_320.tar.xz", (320, 41, 119), (0.08, 0.25)),
        )
    ],
)
def test_an_official_archive_is_complete_and_can_be_packed(dataset, category, name, counts, foreground, tmp_path):
    settings = load_settings(ROOT / "params.yaml").datasets[dataset].model_copy(update={"local": str(DATA / name)})
    raw = fetch(dataset, settings, tmp_path / "raw")
    (report,) = check_data(dataset, raw, settings, {category: tmp_path / "manifest.csv"})
    assert (report.ok, report.found, report.expected) == (True, counts, counts)
    assert not any(report.findings.values())
    pack(dataset, category, raw, settings, {"resize": 64}, tmp_path / "manifest.csv", tmp_path / "packed")
    data = Packed(tmp_path / "packed")
    assert (data.train_count, int(data.labels.sum())) == (counts[0], counts[2])
    touched, hit = (data.masks(rule).any(axis=(1, 2)) for rule in ("antialiased", "nearest"))
    assert touched.tolist() == data.labels.astype(bool).tolist()
    assert (touched >= hit).all()
    low, high = foreground
    assert low < data.foregrounds().mean() < high


@needs("dtd_10classes_256.tar.gz")
def test_the_textures_are_packed_from_their_archive(tmp_path):
    settings = TextureSettings(local=str(DATA / "dtd_10classes_256.tar.gz"), size=32, limit=40)
    pack_textures(fetch("textures", settings, tmp_path), settings, tmp_path / "packed")
    textures = packed_textures(tmp_path / "packed")
    assert textures.shape == (40, 32, 32, 3)
    assert textures.reshape(40, -1).std(axis=1).min() > 1
