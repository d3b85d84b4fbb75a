"""Each DVC stage depends on every setting and version that its jobs read."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from tfcore.methods.registry import METHODS, load_settings
from tfcore.runs.needed import shown_settings
from tfcore.runs.stages import stage_settings

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
STAGES_OF = {"data": ["pack"], "checkpoints": ["train"], "maps": ["infer"], "tables": ["score", "sweep"]}


def listed(stage):
    """Return the sections of params.yaml that a DVC stage depends on."""
    return {name.split(".")[0] for name in STAGES[stage]["params"] if isinstance(name, str)}


def read_by(stage):
    """Return the sections that a DVC stage's jobs read: in their stage settings, and in what the rules share."""
    settings = load_settings(ROOT / "params.yaml")
    sections = {name for each in STAGES_OF[stage] for name in stage_settings(settings, each)}
    if "resize" in sections:  # of `data`, which packing reads under its bare name
        sections.add("data")
    # Of what the rules share, only the choice of datasets matters to data.
    shared = re.findall(r"\bSETTINGS\.(\w+)", (ROOT / "workflow/rules/common.smk").read_text(encoding="utf-8"))
    sections |= {"run"} if stage == "data" else {*shared, "variants", "protocol", "method", "methods"}
    return sections & set(type(settings).model_fields)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_section_that_its_jobs_read(stage):
    known = set(type(load_settings(ROOT / "params.yaml")).model_fields)
    assert read_by(stage) - {"hardware"} <= listed(stage) <= known


def test_the_checks_see_what_training_reads():
    assert {"datasets", "textures", "tables", "run", "train"} <= read_by("checkpoints")


def test_tables_depend_on_all_settings_that_the_page_shows():
    assert listed("tables") >= set(shown_settings(load_settings(ROOT / "params.yaml")))


def test_a_stage_depends_on_the_versions_of_what_it_makes():
    def versions(stage):
        return {
            file: names for each in STAGES[stage]["params"] if isinstance(each, dict) for file, names in each.items()
        }

    own = {f"tfcore/methods/{name}/settings.py" for name in METHODS}
    stages = "tfcore/runs/stages.py"
    assert versions("checkpoints") == {stages: ["PACK_VERSION"]} | {key: ["TRAIN_VERSION"] for key in own}
    assert versions("maps") == {key: ["INFER_VERSION"] for key in own}
    assert versions("tables") == {stages: ["SCORE_VERSION", "TABLE_VERSION"]}
    for name, method in METHODS.items():
        module = import_module(f"tfcore.methods.{name}.settings")
        assert (method.train_version, method.infer_version) == (module.TRAIN_VERSION, module.INFER_VERSION)
