"""Checking a data set before anything expensive runs on it, and writing its manifest."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from tfcore.data import images
from tfcore.data.layouts import SPLIT, Sample, find_category, foreground_of
from tfcore.data.manifest import FOREGROUND, Entry, read_hashed, write_manifest
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import sha256_of
from tfcore.runtime.parallel import run_all
from tfcore.settings.sections import DatasetSettings

Counts = tuple[int, int, int]

# Kinds of findings, in the order of the report; the first group makes a category unusable.
PROBLEMS = (
    "not found",
    "another split",
    "wrong counts",
    "no images",
    "unreadable",
    "mask missing",
    "mask of another size",
)
WARNINGS = ("mask without image", "empty mask", "empty foreground", "same image in train and test")
NAMED = 5  # files that a line of the report names; it counts the others


@dataclass
class CategoryReport:
    """What was found in one category; counts are (train, good test, anomalous test)."""

    category: str
    expected: Counts | None
    found: Counts = (0, 0, 0)
    findings: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    entries: list[Entry] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Tell whether the category can be used; warnings do not count."""
        return not any(self.findings.get(kind) for kind in PROBLEMS)


def check_data(
    dataset: str, raw: Path | str, settings: DatasetSettings, manifests: Mapping[str, Path]
) -> list[CategoryReport]:
    """Check categories, reading every file; ``manifests`` says which, and where each one's manifest is written.

    Only a complete category gets its manifest written: a broken copy never replaces a good one.
    """
    reports = [check_category(dataset, raw, category, settings) for category in manifests]
    for report in reports:
        if report.ok:
            write_manifest(manifests[report.category], report.entries)
    return reports


def table(dataset: str, reports: list[CategoryReport]) -> str:
    """Format reports as a table, found / expected counts first, followed by a line for each kind of finding.

    Such a line names at most ``NAMED`` files.
    """
    rows, lines = [], []
    for report in reports:
        expected = report.expected or (None, None, None)
        counts = [f"{n}" if e is None else f"{n}/{e}" for n, e in zip(report.found, expected, strict=True)]
        found = [kind for kind in PROBLEMS + WARNINGS if report.findings.get(kind)]
        rows.append([dataset, report.category, *counts, "; ".join(found) or "ok"])
        for kind in found:
            files = report.findings[kind]
            more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
            level = "error" if kind in PROBLEMS else "warning"
            lines.append(f"{level}: {report.category}: {kind}: {', '.join(files[:NAMED])}{more}")
    header = ["dataset", "category", "train", "good", "anomalous", "state"]
    return "\n".join([tabulate(rows, header, disable_numparse=True), *lines])


def check_category(dataset: str, raw: Path | str, category: str, settings: DatasetSettings) -> CategoryReport:
    """Check one category: counts, masks, readability, sizes, and images that occur in both splits."""
    report = CategoryReport(category, settings.counts.get(category))
    try:
        found = find_category(raw, category, settings)
    except UserError as error:
        report.findings["not found"].append(str(error))
        return report
    split = found.root / SPLIT
    if settings.split_sha256 is not None and split.is_file() and sha256_of(split) != settings.split_sha256:
        report.findings["another split"].append(f"{split} does not have the sha256 in `split_sha256`")
    _check_counts(report, found.samples)
    report.findings["mask without image"] += found.stray_masks

    foregrounds = None if category in settings.textures else settings.foregrounds

    def check_one(sample: Sample) -> list[Entry]:
        return _check_sample(found.root, category, sample, foregrounds, report.findings)

    for entries in run_all(check_one, found.samples, f"check {dataset}/{category}"):
        report.entries += entries
    report.findings["same image in train and test"] += _duplicates(report.entries)
    for files in report.findings.values():
        files.sort()  # threads add findings in any order
    return report


def _check_counts(report: CategoryReport, samples: list[Sample]) -> None:
    test = [sample.label for sample in samples if sample.split == "test"]
    report.found = (len(samples) - len(test), test.count(0), test.count(1))
    if report.expected is not None and report.found != report.expected:
        report.findings["wrong counts"].append(f"found {report.found}, expected {report.expected}")
    for name, number in zip(("train", "test/good", "test/<defect>"), report.found, strict=True):
        if not number:
            report.findings["no images"].append(name)


def _check_sample(
    root: Path, category: str, sample: Sample, foregrounds: str | None, findings: dict[str, list[str]]
) -> list[Entry]:
    """Read an image and its masks, note what is wrong, and return the entries of the manifest of what was read."""
    entries = []
    try:
        content, sha256 = read_hashed(root / sample.file)
        image = images.open_image(root / sample.file, content)
        images.to_rgb(image, sample.file)
        entries.append(Entry(sample.file, len(content), sha256, category, sample.split, sample.label))
        if sample.label and sample.mask is None:
            findings["mask missing"].append(sample.file)
        if sample.mask is not None:
            mask, entry = _read_mask(root, sample.mask, category)
            entries.append(entry)
            if mask.shape != (image.height, image.width):
                sizes = f"{mask.shape[1]} × {mask.shape[0]}, its image {image.width} × {image.height}"
                findings["mask of another size"].append(f"{sample.mask} ({sizes})")
            if not mask.any():
                findings["empty mask"].append(sample.mask)
        if foregrounds is not None and sample.split == "train":
            name = foreground_of(sample)
            mask, entry = _read_mask(Path(foregrounds), name, category)
            entries.append(entry._replace(file=f"{FOREGROUND}/{name}", split=FOREGROUND, label=0))
            if not mask.any():
                findings["empty foreground"].append(name)
    except UserError as error:
        findings["unreadable"].append(str(error))
    return entries


def _read_mask(folder: Path, name: str, category: str) -> tuple[images.MaskArray, Entry]:
    content, sha256 = read_hashed(folder / name)
    return images.read_mask(folder / name, content), Entry(name, len(content), sha256, category, "ground_truth", 1)


def _duplicates(entries: list[Entry]) -> list[str]:
    train = {entry.sha256: entry.file for entry in entries if entry.split == "train"}
    return [f"{e.file} = {train[e.sha256]}" for e in entries if e.split == "test" and e.sha256 in train]
