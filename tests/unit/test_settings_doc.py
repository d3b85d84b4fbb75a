"""The settings page says what the models say."""

import re
from functools import partial
from pathlib import Path

import pytest

from tfcore.methods.registry import load_settings
from tfcore.methods.transfusion import settings as transfusion
from tfcore.runs.stages import _OTHER_EFFECTS, effect
from tfcore.settings import doc, variants
from tfcore.settings.doc import UNITS
from tfcore.settings.variants import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(ROOT / "params.yaml")


def settings_page(settings: Settings) -> str:
    return doc.settings_page(settings, partial(effect, settings))


def test_the_page_in_docs_is_up_to_date(settings: Settings):
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == settings_page(settings), "run: python -m tfcore settings-doc"


def test_every_setting_has_a_row_with_a_meaning(settings: Settings):
    page = settings_page(settings)
    for name, section in [*settings, *((f"methods.{name}", section) for name, section in settings.methods)]:
        if name == "methods":
            continue
        fields = getattr(type(section), "model_fields", {})
        for key, field in fields.items():
            if key == "archive":
                continue
            assert field.description, f"{name}.{key} has no description"
            assert f"| `{name}.{field.alias or key}` | {field.description[:9].replace('|', chr(92) + '|')}" in page


def test_settings_that_follow_the_protocol_show_both_values(settings: Settings):
    page = settings_page(settings)
    for protocols in (variants.PROTOCOLS, transfusion.PROTOCOLS):
        for key, value in protocols["paper"].items():
            assert f"*protocol*: paper `{value}`, release `{protocols['release'][key]}`" in page


FROM_TRAINING = "train, infer, score, sweep"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("protocol", FROM_TRAINING),
        ("data.resize", f"pack, {FROM_TRAINING}"),
        ("data.crop", FROM_TRAINING),
        ("train.epochs", FROM_TRAINING),
        ("textures.size", f"pack, {FROM_TRAINING}"),
        ("textures.archive.sha256", FROM_TRAINING),
        ("textures.archive.urls", "nothing; the next fetch reads it"),
        ("textures.licence", "nothing"),
        ("tables.checkpoint_epochs", f"{FROM_TRAINING} of the baseline"),
        ("textures.local", "fetch, pack; finished trainings stay"),
        ("datasets.*.textures", f"of these categories: pack, {FROM_TRAINING}"),
        ("infer.precision", "infer, score, sweep"),
        ("score.lambda", "score, sweep"),
        ("sweeps.lambda", "sweep"),
        ("hardware.compile", "nothing"),
    ],
)
def test_what_reruns_is_read_from_the_stages(key, words, settings: Settings):
    assert effect(settings, key) == words


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of all settings: key, meaning, type, unit, default, params.yaml, reruns."""
    lines = [line for line in page.splitlines() if line.startswith("| `") and line.count(" | ") > 1]
    return [re.split(r"(?<!\\) \| ", line.strip("| ").replace("|  |", "| |").replace("| |", "| - |")) for line in lines]


def test_every_key_has_its_default_and_what_it_reruns_and_numbers_their_unit(settings: Settings):
    rows = rows_of(settings_page(settings))
    assert len(rows) > 80
    for key, meaning, kind, unit, default, _, reruns in rows:
        assert meaning not in ("", "-") and default not in ("", "-") and reruns not in ("", "-"), key
        assert ("integer" in kind or "number" in kind) == (unit not in ("", "-")), f"{key}: unit '{unit}' of {kind}"


def test_value_of_params_is_shown_where_it_is_not_the_default(settings: Settings):
    cells = {row[0]: row for row in rows_of(settings_page(settings))}
    assert cells["`textures.licence`"][4:6] == ['`""`', "`research use`"]
    assert cells["`train.epochs`"][4:6] == ["`1500`", "-"]


def test_no_effect_or_unit_is_of_a_setting_that_is_not_there(settings: Settings):
    keys = [row[0].strip("`") for row in rows_of(settings_page(settings))]
    for name in UNITS:
        assert any(key == name or key.endswith(f".{name}") for key in keys), name
    for name in set(_OTHER_EFFECTS) - {"variants"}:
        assert any(f"{key}.".startswith(f"{name}.") for key in keys), name
        assert any(effect(settings, key) == _OTHER_EFFECTS[name] for key in keys), name
