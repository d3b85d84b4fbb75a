"""Settings: merging, protocols, variants, and one-line errors that name the file and the key."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tfcore.methods.registry import load_settings, parse_settings
from tfcore.methods.transfusion import settings as transfusion
from tfcore.runtime.errors import SettingsError
from tfcore.runtime.files import digest
from tfcore.settings import variants
from tfcore.settings.variants import resolve

ROOT = Path(__file__).parents[2]
PARAMS = ROOT / "params.yaml"
PROTOCOLS = {name: variants.PROTOCOLS[name] | transfusion.PROTOCOLS[name] for name in variants.PROTOCOLS}


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def message(*files: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(*files)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.exit_code == 2
    return text


def test_paper_scale_file_loads_and_covers_27_categories():
    settings = load_settings(PARAMS)
    assert [len(settings.datasets[name].categories) for name in settings.run.datasets] == [15, 12]
    assert settings.protocol == "paper"
    assert settings.train.epochs == 1500
    assert settings.train.learning_rate == 1e-5


def test_official_counts_add_up():
    counts = {name: entry.counts for name, entry in load_settings(PARAMS).datasets.items()}
    totals = {name: tuple(map(sum, zip(*entry.values(), strict=True))) for name, entry in counts.items()}
    assert totals == {"mvtec_ad": (3629, 467, 1258), "visa": (8659, 962, 1200)}


def test_overlay_merges_mappings_and_replaces_lists(tmp_path: Path):
    overlay = write(tmp_path, "train: {epochs: 3}\nsweeps: {kernel: [5]}\nrun: {seeds: [1, 2]}\n")
    settings = load_settings(PARAMS, overlay)
    assert (settings.train.epochs, settings.train.batch_size) == (3, 8)
    assert settings.sweeps.kernel == [5]
    assert len(settings.sweeps.lambda_) == 13
    assert settings.run.seeds == [1, 2]
    assert "mvtec_ad" in settings.datasets


def test_last_overlay_wins(tmp_path: Path):
    first = write(tmp_path, "train: {epochs: 3}\n", "a.yaml")
    second = write(tmp_path, "train: {epochs: 4}\n", "b.yaml")
    assert load_settings(PARAMS, first, second).train.epochs == 4


def test_empty_overlay_changes_nothing(tmp_path: Path):
    assert load_settings(PARAMS, write(tmp_path, "# nothing yet\n")) == load_settings(PARAMS)


def test_overlay_can_add_a_dataset_and_a_variant(tmp_path: Path):
    overlay = write(
        tmp_path,
        "datasets: {mine: {title: Mine, layout: mvtec, categories: [cog], local: /data/mine}}\n"
        "run: {datasets: [mine]}\n"
        "variants: {narrow: {model.width: 32}}\n",
    )
    settings = load_settings(PARAMS, overlay)
    assert settings.datasets["mine"].categories == ["cog"]
    assert resolve(settings, "narrow").model.width == 32
    assert "full" in settings.variants


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("key", PROTOCOLS["paper"])
def test_protocol_fills_every_setting_that_follows_it(protocol, key, tmp_path: Path):
    settings = load_settings(PARAMS, write(tmp_path, f"protocol: {protocol}\n"))
    values = resolve(settings, "full").model_dump(by_alias=True)
    section, _, name = key.partition(".")
    assert values[section][name] == PROTOCOLS[protocol][key]


def test_own_value_wins_over_the_protocol(tmp_path: Path):
    settings = load_settings(PARAMS, write(tmp_path, "protocol: release\ndata: {crop: 224}\n"))
    resolved = resolve(settings, "full")
    assert resolved.data.crop == 224
    assert resolved.model.positional_encoding == "row"


def test_variant_may_change_the_protocol_and_single_settings(tmp_path: Path):
    overlay = write(tmp_path, "variants: {released: {protocol: release, losses.ssim_range: unit}}\n")
    resolved = resolve(load_settings(PARAMS, overlay), "released")
    assert resolved.protocol == "release"
    assert resolved.data.crop == 256
    assert resolved.losses.ssim_range == "unit"


@pytest.mark.parametrize("protocols", [variants.PROTOCOLS, transfusion.PROTOCOLS])
def test_both_protocols_name_the_same_settings(protocols):
    assert protocols["paper"].keys() == protocols["release"].keys()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: {epoch: 3}\n", "unknown key 'train.epoch'"),
        ("trian: {epochs: 3}\n", "unknown key 'trian'"),
        ("train: {epochs: many}\n", "train.epochs"),
        ("train: {epochs: -1}\n", "train.epochs"),
        ("train: {epochs: true}\n", "train.epochs: must be a number, not true or false"),
        ("run: {seeds: [true]}\n", "run.seeds.0: must be a number"),
        ("variants: {odd: {train.epochs: true}}\n", "variants.odd: train.epochs: must be a number"),
        ("train: {learning_rate: .inf}\n", "train.learning_rate: Input should be a finite number"),
        ("score: {lambda: 1.5}\n", "score.lambda"),
        ("score: {kernel: 6}\n", "score.kernel"),
        ("sweeps: {lambda: [0.5, 1.5]}\n", "sweeps.lambda.1"),
        ("sweeps: {kernel: [3, 4]}\n", "sweeps.kernel.1: must be odd"),
        ("protocol: paperr\n", "protocol"),
        ("run: {datasets: [mvtek]}\n", "run.datasets: no such entry 'mvtek'"),
        ("run: {variants: [ful]}\n", "run.variants: no such entry 'ful'"),
        ("run: {variants: [steps_5]}\n", "tables.baseline: 'full' is not among run.variants"),
        ("tables: {baseline: ful}\n", "tables.baseline: no such entry 'ful'"),
        ("run: {seeds: []}\n", "run.seeds"),
        ("variants: {x: {model.widht: 3}}\n", "variants.x: no such setting 'model.widht'"),
        ("variants: {x: {hardware.device: cpu}}\n", "variants.x: no such setting 'hardware.device'"),
        ("variants: {x: {model.width: -3}}\n", "variants.x: model.width"),
        ("variants: {x: {diffusion.schedule: cubic}}\n", "variants.x: diffusion.schedule"),
        ("datasets: {mine: {layout: mvtec, categories: [a]}}\n", "datasets.mine.title"),
        ("datasets: {visa: {archive: {sha256: abc}}}\n", "datasets.visa.archive.sha256"),
        ("run: {datasets: []}\n", "run.datasets: must name at least one"),
        ("run: {seeds: [0, -1]}\n", "run.seeds.1"),
        ("run: {seeds: [3, 1, 3]}\n", "run.seeds: 3 is there twice"),
        ("run: {datasets: [visa, visa]}\n", "run.datasets: visa is there twice"),
        ("run: {ablation_categories: {visa: [pcb9]}}\n", "run.ablation_categories.visa: no such entry 'pcb9' (known: "),
        ("datasets: {mvtec_ad: {textures: [carpt]}}\n", "datasets.mvtec_ad.textures: no such entry 'carpt'"),
        ("datasets: {visa: {categories: [pcb1, pcb1]}}\n", "datasets.visa.categories: pcb1 is there twice"),
        ("datasets: {visa: {categories: [a/b]}}\n", "datasets.visa.categories.0: is part of paths"),
        ("datasets: {visa: {local: ''}}\n", "datasets.visa.local"),
        ("textures: {local: ''}\n", "textures.local"),
        ("train: {keep_epochs: [5]}\n", "train.keep_epochs is tables.checkpoint_epochs now"),
        (
            "run: {release: /weights}\n",
            "run.release is hardware.released_weights now",
        ),
        (
            "datasets: {textures: {title: T, layout: mvtec, categories: [a]}}\n",
            "datasets.textures: the textures lie in",
        ),
        ("variants: {a/b: {}}\n", "variants.a/b: is part of paths"),
        ("variants: {..: {}}\n", "variants...: is part of paths"),
        ("variants: {-x: {}}\n", "variants.-x: is part of paths"),
        ("variants: {'a{b}': {}}\n", "variants.a{b}: is part of paths"),
        ("variants: {x: {data.resize: 300}}\n", "variants.x: data.resize is the same for all variants"),
        ("variants: {x: {data.crop: 220}}\n", "variants.x: data.crop: images of 220×220 are not divisible by 8"),
        ("variants: {x: {data.crop: 264}}\n", "variants.x: data.crop: 264 is larger than data.resize = 256"),
        ("variants: {x: {model.groups: 24}}\n", "variants.x: model.width: 64 is not divisible by model.groups = 24"),
        ("variants: {x: {protocol: release, diffusion.steps: 2}}\n", "variants.x: diffusion.steps: must be at least 3"),
        ("data: {resize: 128}\n", "mine.yaml: data.crop: 224 is larger than data.resize = 128"),
        ("model: {width: 12, groups: 4}\n", "model.width: 12 is not divisible by the 8 groups"),
        ("model: {multipliers: [1, 0]}\n", "model.multipliers"),
        ("losses: {normal: 0, mask: 0, anomaly: 0, consistency: 0}\n", "losses: every weight is 0"),
        ("anomalies: {perlin_exponents: [3, 1]}\n", "anomalies.perlin_exponents: must give the lower value first"),
        ("anomalies: {perlin_exponents: [-1, 1]}\n", "anomalies.perlin_exponents.0"),
        ("anomalies: {transparency: [0.5, 0.2]}\n", "anomalies.transparency: must give the lower value first"),
        ("anomalies: {transparency: [0.5, 1.2]}\n", "anomalies.transparency.1"),
        ("sweeps: {lambda: [0.9, 0.90]}\n", "sweeps.lambda: 0.9 is there twice"),
        ("tables: {inference_steps: [0]}\n", "tables.inference_steps.0"),
        ("tables: {inference_batches: [8, -8]}\n", "tables.inference_batches.1"),
        ("train: {epochs: 3}\nscore: {kernel: 3}\ntrain: {epochs: 4}\n", "key 'train' is there twice (line 3)"),
        ("train: {epochs: 3, epochs: 4}\n", "key 'epochs' is there twice (line 1)"),
    ],
)
def test_bad_setting_is_one_line_with_key_and_file(text, expected, tmp_path: Path):
    overlay = write(tmp_path, text)
    found = message(PARAMS, overlay)
    assert expected in found
    assert str(overlay) in found


@pytest.mark.parametrize("text", ["train: [unclosed\n", "- a\n- list\n", "just text\n"])
def test_file_that_is_no_mapping_is_one_line_with_its_name(text, tmp_path: Path):
    overlay = write(tmp_path, text)
    assert str(overlay) in message(PARAMS, overlay)


def test_file_that_is_not_utf8_is_one_line_with_its_name(tmp_path: Path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_bytes("train: {epochs: 3}  # café\n".encode("latin-1"))
    assert "mine.yaml: cannot be read" in message(PARAMS, overlay)


def test_overlay_may_run_some_of_a_known_set(tmp_path: Path):
    overlay = write(
        tmp_path, "datasets: {mvtec_ad: {categories: [screw]}}\nrun: {ablation_categories: {visa: [pcb1]}}\n"
    )
    assert load_settings(PARAMS, overlay).datasets["mvtec_ad"].textures[0] == "carpet"


def test_names_may_be_in_any_language_and_have_spaces(tmp_path: Path):
    overlay = write(tmp_path, "datasets: {visa: {categories: [Schraube M6, 螺丝, pcb1.v2]}}\nvariants: {größer: {}}\n")
    assert load_settings(PARAMS, overlay).datasets["visa"].categories[0] == "Schraube M6"


def test_settings_are_checked_without_torch():
    code = "import sys, tfcore.methods.registry as r; r.load_settings(sys.argv[1]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, PARAMS]).returncode == 0  # Snakemake's start stays quick


@pytest.mark.parametrize(
    ("module", "other"),
    [
        ("tfcore.data.pack", "torch"),
        ("tfcore.report.tables.overview", "scipy"),
        ("tfcore.report.tables.overview", "torch"),
    ],
)
def test_a_job_that_starts_often_does_without_a_library_that_it_does_not_need(module, other):
    code = f"import sys, {module}; sys.exit({other!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_missing_file_is_named(tmp_path: Path):
    assert "nowhere.yaml" in message(PARAMS, tmp_path / "nowhere.yaml")


def test_unknown_variant_names_the_known_ones():
    with pytest.raises(SettingsError, match=r"no such variant 'fulll'.*full"):
        resolve(load_settings(PARAMS), "fulll")


def test_settings_survive_the_file_that_is_passed_to_the_jobs(tmp_path: Path):
    settings = load_settings(PARAMS)
    file = write(tmp_path, settings.model_dump_json(by_alias=True), "settings.json")
    assert load_settings(file) == settings


def test_settings_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="frozen"):
        load_settings(PARAMS).train.epochs = 3


def test_digest_ignores_the_order_of_keys_and_sees_values():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest([1, 2]) != digest([2, 1])


def test_scalars_of_params_yaml_agree_with_the_defaults():
    raw = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    kept = {name: raw[name] for name in ("datasets", "textures", "variants")}
    defaults = parse_settings(kept, "defaults")
    written = load_settings(PARAMS)
    for section in ("data", "model", "diffusion", "anomalies", "losses", "train", "infer", "score", "hardware"):
        assert getattr(written, section) == getattr(defaults, section), section
