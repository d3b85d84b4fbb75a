"""Tiny data sets in each layout, for tests of the data stages."""

import csv

import numpy as np
from PIL import Image

from tfcore.settings.sections import DatasetSettings

HEIGHT, WIDTH = 20, 30
COUNTS = (4, 2, 3)


def picture(number):
    """Return a picture of its own, grey with a bright square."""
    image = np.full((HEIGHT, WIDTH, 3), 40 + number, np.uint8)
    image[5:15, 8:22] = 200 - number
    return image


def square(number):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[4 : 8 + number, 4:9] = True
    return mask


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def make_mvtec(root, category="part", channels=1, suffix="_mask"):
    """Write a category in MVTec AD's layout, or as VisA is commonly converted."""
    base = root / category
    train, good, bad = COUNTS
    for number in range(train):
        save(picture(number), base / f"train/good/{number:03d}.png")
    for number in range(good):
        save(picture(10 + number), base / f"test/good/{number:03d}.png")
    for number in range(bad):
        mask = square(number).astype(np.uint8) * 255
        save(picture(20 + number), base / f"test/bad/{number:03d}.png")
        save(np.stack([mask] * 3, 2) if channels == 3 else mask, base / f"ground_truth/bad/{number:03d}{suffix}.png")
    return root


def make_visa(root, category="part", class_id=2):
    """Write a category in the official layout of VisA; rows in the split file are in no order, as there."""
    train, good, bad = COUNTS
    rows = []
    for number in range(train + good):
        file = f"{category}/Data/Images/Normal/{number:03d}.png"
        save(picture(number if number < train else 10 + number - train), root / file)
        rows.append([category, "train" if number < train else "test", "normal", file, ""])
    for number in range(bad):
        file, mask = (f"{category}/Data/{kind}/Anomaly/{number:03d}.png" for kind in ("Images", "Masks"))
        save(picture(20 + number), root / file)
        save(square(number).astype(np.uint8) * np.uint8(class_id), root / mask)
        rows.append([category, "test", "anomaly", file, mask])
    split = root / "split_csv" / "1cls.csv"
    split.parent.mkdir(exist_ok=True)
    with split.open("w", newline="") as file:
        csv.writer(file).writerows([["object", "split", "label", "image", "mask"], *rows[::-1]])
    return root


def settings(layout="mvtec", **more):
    return DatasetSettings(title="Small", layout=layout, categories=["part"], textures=["part"], **more)
