"""Each DVC stage depends on every setting and recipe that its jobs read."""

import re
from pathlib import Path

import pytest
import yaml

from tfcore.methods.registry import load_settings
from tfcore.runs.needed import shown_settings
from tfcore.runs.stages import stage_settings
from tfcore.settings.variants import Settings

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
RULES = {
    "data": ["data"],  # of what common.smk reads, only the choice of datasets matters to data
    "checkpoints": ["common", "train"],
    "maps": ["common", "infer"],
    "tables": ["common", "score", "tables", "figures", "report"],
}
STAGES_OF = {"data": ["pack"], "checkpoints": ["train"], "maps": ["infer"], "tables": ["score", "sweep"]}


def listed(stage):
    """Return the sections of params.yaml that a DVC stage depends on."""
    return {name.split(".")[0] for name in STAGES[stage]["params"] if isinstance(name, str)}


def read_by(stage):
    """Return the sections that a DVC stage's jobs read: in its rules, in what rules share, in its stage settings."""
    files = [ROOT / "workflow/rules" / f"{name}.smk" for name in RULES[stage]]
    sections = {name for file in files for name in re.findall(r"\bSETTINGS\.(\w+)", file.read_text(encoding="utf-8"))}
    sections |= {
        name for each in STAGES_OF[stage] for name in stage_settings(load_settings(ROOT / "params.yaml"), each)
    }
    if "resize" in sections:  # of `data`, which packing reads under its bare name
        sections.add("data")
    # All stages but the first read the settings of a variant, into which the protocol is resolved.
    sections |= {"run"} if stage == "data" else {"variants", "protocol"}
    return sections & set(Settings.model_fields)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_section_that_its_jobs_read(stage):
    assert read_by(stage) - {"hardware"} <= listed(stage) <= set(Settings.model_fields)


def test_the_checks_see_what_training_reads():
    assert {"datasets", "textures", "tables", "run", "train"} <= read_by("checkpoints")


def test_tables_depend_on_all_settings_that_the_page_shows():
    assert listed("tables") >= set(shown_settings(load_settings(ROOT / "params.yaml")))


@pytest.mark.parametrize(
    ("stage", "recipes"),
    [
        ("checkpoints", ["RECIPE", "PACK_RECIPE"]),
        ("maps", ["INFER_RECIPE"]),
        ("tables", ["SCORE_RECIPE", "TABLE_RECIPE"]),
    ],
)
def test_a_stage_depends_on_its_recipes(stage, recipes):
    assert {"tfcore/__init__.py": recipes} in STAGES[stage]["params"]
