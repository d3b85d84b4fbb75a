"""The settings page says what the models say."""

from pathlib import Path

import pytest

from tfcore.config import PROTOCOLS, Settings, load_settings
from tfcore.settings_doc import effect, settings_page

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(ROOT / "params.yaml")


def test_the_page_in_docs_is_up_to_date(settings: Settings):
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == settings_page(settings), "run: python -m tfcore settings-doc"


def test_every_setting_has_a_row_with_a_meaning(settings: Settings):
    page = settings_page(settings)
    for name, section in settings:
        fields = getattr(type(section), "model_fields", {})
        for key, field in fields.items():
            if key == "archive":
                continue
            assert field.description, f"{name}.{key} has no description"
            assert f"| `{name}.{field.alias or key}` | {field.description[:9].replace('|', chr(92) + '|')}" in page


def test_settings_that_follow_the_protocol_show_both_values(settings: Settings):
    page = settings_page(settings)
    for key, value in PROTOCOLS["paper"].items():
        assert f"*protocol*: paper `{value}`, release `{PROTOCOLS['release'][key]}`" in page


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("train", "training"),
        ("infer", "inference"),
        ("score", "scoring"),
        ("sweeps", "the sweeps"),
        ("hardware", "nothing"),
        ("data", "packing"),
    ],
)
def test_what_reruns_is_read_from_the_stages(section, words, settings: Settings):
    assert effect(section, settings).startswith(words)


def test_every_section_says_what_it_reruns(settings: Settings):
    for section in Settings.model_fields:
        assert effect(section, settings)
