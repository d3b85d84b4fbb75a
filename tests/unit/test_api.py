"""The examples of docs/api.md run as they stand there, on a small dataset."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from made_up import draw_dataset, save

from tfcore.data.demo.make import draw

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
SNIPPETS = dict(re.findall(r"<!-- test: (\w+) -->\n```python\n(.*?)```", TEXT, re.S))

TINY = {
    "textures": {"local": "drawn/textures", "size": 32},
    "data": {"resize": 32, "crop": 32},
    "model": {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention_levels": 1, "groups": 4},
    "diffusion": {"steps": 3},
    "train": {"epochs": 1, "batch_size": 4},
    "hardware": {"device": "cpu", "threads": 1},
}
PARTS = {
    "run": {"datasets": ["my_parts"]},
    "datasets": {"my_parts": {"title": "My parts", "layout": "mvtec", "categories": ["cog"], "local": "my_parts"}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a working directory with settings, a small dataset in the MVTec layout, and textures."""
    folder = tmp_path_factory.mktemp("api")
    draw_dataset(folder / "my_parts" / "cog")
    for index in range(4):
        save(draw("cloth", "good", index)[0], folder / "drawn" / "textures" / f"{index}.png")
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    (folder / "parts.yaml").write_text(yaml.safe_dump(PARTS | TINY), encoding="utf-8")
    return folder


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(SNIPPETS[name], f"docs/api.md, {name}", "exec"), {})


def test_the_page_has_the_three_examples_in_about_ten_lines():
    assert set(SNIPPETS) == {"train", "infer", "score"}
    for text in SNIPPETS.values():
        statements = [line for line in text.splitlines() if line and not line.startswith(("import", "from"))]
        assert len(statements) <= 10


def test_train_on_a_folder_then_infer_one_image(folder: Path, monkeypatch, capsys):
    run("train", folder, monkeypatch)
    assert (folder / "results/checkpoints/my_parts/cog/full/seed0/model.safetensors").exists()
    picture = next((folder / "my_parts" / "cog" / "test").rglob("*.png"))
    shutil.copy(picture, folder / "photo.png")
    run("infer", folder, monkeypatch)
    assert re.search(r"score \d\.\d{3}", capsys.readouterr().out)


def test_score_maps(tmp_path: Path, monkeypatch, capsys):
    masks = np.zeros((8, 16, 16), bool)
    masks[4:, 4:9, 4:9] = True
    np.save(tmp_path / "masks.npy", masks)
    np.save(tmp_path / "maps.npy", (np.random.default_rng(0).random(masks.shape) + masks).astype(np.float32))
    run("score", tmp_path, monkeypatch)
    printed = capsys.readouterr().out
    assert "image_auroc 1.0 None None" in printed
    assert re.search(r"aupro 1\.0 ", printed)
