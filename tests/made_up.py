"""Made-up results for tests of what is drawn from results, the numbers mean nothing; and a small drawn category."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.numpy import save_file

from tfcore.data.demo.make import draw
from tfcore.methods.registry import load_settings, method_named
from tfcore.metrics.gather import averages
from tfcore.metrics.maps import MapsFile
from tfcore.metrics.rows import COLUMNS, write_images
from tfcore.runs.run import Run
from tfcore.runs.stages import shared_variant, stage_settings
from tfcore.settings.variants import Settings

ROOT = Path(__file__).parents[1]
SIZE, GOOD, BAD = 32, 4, 6


def settings_of(folder: Path, overlay: str = "") -> Settings:
    file = folder / "overlay.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(overlay, encoding="utf-8")
    return load_settings(ROOT / "params.yaml", file)


def write_results(root: Path, settings: Settings, pictures: int = 2, images: bool = True) -> None:
    """Write metrics of every run, and maps, image scores, logs and records of the first ``pictures`` categories."""
    rng = np.random.default_rng(0)
    runs = [(name, category) for name in settings.run.datasets for category in settings.datasets[name].categories]
    rows = [row for name, category in runs for row in metric_rows(name, category, settings, rng)]
    (root / "results").mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows, columns=COLUMNS)
    categories = {name: settings.datasets[name].categories for name in settings.run.datasets}
    table = pd.concat([table, averages(table, categories, 0.95, 100)], ignore_index=True)
    table.to_csv(root / "results" / "metrics.csv", index=False)
    for dataset, category in runs[:pictures]:
        run = Run(dataset, category, shared_variant(settings, "train", settings.tables.baseline))
        write_maps(root / run.maps, run, rng)
        write_scores(root, run, settings)
        write_training(root / run.checkpoint.parent, run)
        if images:
            write_pack(root / run.packed, run, rng)


def metric_rows(dataset: str, category: str, settings: Settings, rng: np.random.Generator) -> list[list[object]]:
    rows: list[list[object]] = []

    def add(variant: str, point: str, metric: str, value: float) -> None:
        run = Run(dataset, category, variant)
        interval = (max(value - 0.01, 0), min(value + 0.008, 1))
        rows.append(["transfusion", dataset, category, variant, 0, point, metric, value, *interval, run.id, "", "none"])

    for variant in settings.selected_variants:
        drop = 0 if variant == settings.tables.baseline else rng.uniform(0, 0.2)
        for metric, level in (("image_auroc", 0.97), ("aupro", 0.9)):
            value = level + rng.uniform(-0.02, 0.02) - drop
            add(variant, "main", metric, value)
            if variant == settings.tables.baseline:
                for lambda_ in settings.sweeps.lambda_:
                    add(variant, f"lambda={lambda_:g}", metric, value - 0.05 * (lambda_ - 0.9) ** 2)
                for kernel in settings.sweeps.kernel:
                    add(variant, f"kernel={kernel}", metric, value - 0.0005 * (kernel - 7) ** 2)
                for mask in settings.sweeps.mask:
                    add(variant, f"mask={mask}", metric, value - 0.01)
    return rows


def write_maps(file: Path, run: Run, rng: np.random.Generator) -> None:
    label = np.array([0] * GOOD + [1] * BAD, np.uint8)
    mask = np.zeros((len(label), SIZE, SIZE), np.uint8)
    mask[label == 1, 8:20, 10:18] = 1
    disc = (0.2 * rng.random(mask.shape) + 0.5 * mask * rng.random((len(label), 1, 1))).astype(np.float32)
    pictures = rng.integers(0, 255, (len(label), SIZE, SIZE, 3), dtype=np.uint8)
    defects = ["good"] * GOOD + ["scratch"] * 4 + ["hole"] * (BAD - 4)
    header = {
        "run": json.dumps({"method": "transfusion", **vars(run)}),
        "files": json.dumps([f"test/{defect}/{number:03d}.png" for number, defect in enumerate(defects)]),
        "defects": json.dumps(defects),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"disc": disc, "recon": 0.1 * disc, "last": disc, "label": label, "reconstruction": pictures}
    save_file(arrays | {"mask_nearest": mask, "mask_antialiased": mask}, file, metadata=header)
    write_record(file.parent, run, "infer", 12.5)


def write_scores(root: Path, run: Run, settings: Settings) -> None:
    """Write the score of every image as scoring the maps does."""
    maps, method = MapsFile(root / run.maps), method_named("transfusion")
    final = method.final_maps(maps, stage_settings(settings, "score", run.variant))
    (root / run.images).parent.mkdir(parents=True, exist_ok=True)
    write_images(root / run.images, maps, method.image_scores(maps, final))


def write_training(folder: Path, run: Run) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = pd.DataFrame({"step": range(1, 301), "epoch": 1, "total": [3 / step**0.5 for step in range(1, 301)]})
    log.to_csv(folder / "log.csv", index=False)
    write_record(folder, run, "train", 7200.0)


def write_record(folder: Path, run: Run, stage: str, seconds: float) -> None:
    record = {
        "run_id": run.id,
        "stage": stage,
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "clean": True},
        "versions": {"python": "3.11.9", "torch": "2.13.0", "cuda": None},
        "device": "made up",
        "start": "2026-01-02T03:04:05+00:00",
        "end": "2026-01-02T04:04:05+00:00",
        "seconds": seconds,
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")


def write_pack(folder: Path, run: Run, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", rng.integers(0, 255, (GOOD + BAD, SIZE, SIZE, 3), dtype=np.uint8))
    about = {"dataset": run.dataset, "category": run.category, "size": SIZE}
    about |= {"counts": {"train": 0, "good": GOOD, "anomalous": BAD}}
    (folder / "pack.json").write_text(json.dumps(about), encoding="utf-8")


def save(pixels: np.ndarray, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def draw_dataset(folder: Path) -> None:
    """Draw a category of eight images in the MVTec layout."""
    for index in range(4):
        save(draw("nut", "good", index)[0], folder / "train" / "good" / f"{index}.png")
    for index in range(2):
        save(draw("nut", "good", 10 + index)[0], folder / "test" / "good" / f"{index}.png")
        image, mask = draw("nut", "rust", index)
        save(image, folder / "test" / "rust" / f"{index}.png")
        save(mask.astype(np.uint8) * 255, folder / "ground_truth" / "rust" / f"{index}_mask.png")
