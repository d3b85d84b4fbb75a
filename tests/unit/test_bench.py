import csv
import gc
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import tfcore.cli.bench  # registers the commands
from tfcore.methods.registry import load_settings
from tfcore.runtime.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks are no part of the package
from benchmarks import measure, pack, speed
from benchmarks.measure import PeakMemory, compare

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings():
    return load_settings(ROOT / "params.yaml")


def rows_of(path):
    with path.open() as file:
        return {row["what"]: row for row in csv.DictReader(file)}


def test_the_ratio_is_baseline_over_optimised(capsys):
    row = compare("sleep", lambda: time.sleep(0.04), lambda: time.sleep(0.01), 2, 3, torch.device("cpu"))
    assert row["ratio"] == pytest.approx(4, rel=0.3) and row["baseline_images_per_s"] == pytest.approx(50, rel=0.2)


def test_on_a_busy_machine_the_cpu_time_is_compared():
    def compute(times):
        def work():
            end = time.process_time() + 0.02 * times
            while time.process_time() < end:
                pass
            time.sleep(0.06 / times)  # as other work would make it wait

        return work

    row = compare("loop", compute(3), compute(1), 1, 3, torch.device("cpu"))
    assert row["cpu_time_ratio"] == pytest.approx(3, rel=0.2)


def test_memory_is_not_that_of_the_first_call(monkeypatch):
    calls, measured = [], []

    class Peak:
        bytes = 0

        def __enter__(self):
            measured.append(len(calls))
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(measure, "PeakMemory", lambda _: Peak())
    compare("count", lambda: calls.append("baseline"), lambda: calls.append("optimised"), 1, 1, torch.device("cpu"))
    assert measured == [1, 3] and calls == ["baseline", "baseline", "optimised", "optimised", "baseline", "optimised"]


def test_peak_memory_sees_what_is_freed_again():
    held = [torch.ones(30_000_000)]  # garbage in a cycle, as other tests leave it
    held.append(held)
    del held
    with PeakMemory(torch.device("cpu")) as peak:
        gc.collect()  # as may happen at any time
        torch.ones(30_000_000).sum()
        time.sleep(0.05)
        block = torch.ones(30_000_000)
        end = time.monotonic() + 5  # on a busy machine the sampling thread may have to wait
        while peak.bytes < 100e6 and time.monotonic() < end:
            time.sleep(0.01)
        del block
    assert peak.bytes > 100e6


def test_a_width_that_has_no_groups_is_named(settings):
    with pytest.raises(UserError, match="--width: 9 is not a multiple of 8"):
        speed.run_train(settings, None, 1, size=16, width=9, batch=2, native=24, precision="auto")


@pytest.mark.parametrize("words", [("train", "--precision", "foo"), ("pack", "--suffix", ".doc")])
def test_choices_are_told(words):
    result = CliRunner().invoke(tfcore.cli.app, ["bench", *words])
    assert result.exit_code == 2 and f"Invalid value for '{words[1]}'" in result.output


def test_anomalies_are_measured_both_ways(settings, tmp_path):
    speed.run_anomalies(settings, tmp_path / "anomalies.csv", 1, size=32, batch=2)
    rows = rows_of(tmp_path / "anomalies.csv")
    assert set(rows) == {"batch with anomalies", "Perlin noise"}
    assert "share_of_peak" not in rows["Perlin noise"] and all(all(row.values()) for row in rows.values())


def test_packing_is_measured_against_decoding(tmp_path):
    pack.run(tmp_path / "pack.csv", 1, images=6, suffix=".png", shape=(32, 48))
    rows = rows_of(tmp_path / "pack.csv")
    assert set(rows) == {"surface", "object"}
    ratio, packed, decoded = (
        float(rows["object"][key]) for key in ("ratio", "pack_images_per_s", "decoding_images_per_s")
    )
    assert ratio == pytest.approx(packed / decoded)


def test_the_graph_is_timed_with_the_device_named(tmp_path, monkeypatch, capsys):
    from benchmarks import graph

    done = subprocess.CompletedProcess([], 0, "job count\ntotal      59\n", "")
    monkeypatch.setattr(graph.subprocess, "run", lambda *arguments, **options: done)
    graph.run(tmp_path / "graph.csv", 2, ("data",))
    with (tmp_path / "graph.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["target"], row["jobs"], row["repeats"]) == ("data", "59", "2")
    assert row["device"].startswith("CPU ") and row["device"] in capsys.readouterr().out
