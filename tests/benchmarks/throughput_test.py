# SPDX-License-Identifier: Apache-2.0
"""The throughput benchmark at tiny sizes: every table of this process computes the same numbers, and lies are caught.

The swiss-table floor (needs Abseil's headers) and tensorflow-recommenders-addons (needs an environment of its own) are
not run here; the benchmark itself compares their checksums.
"""

from __future__ import annotations

import json
import math

from benchmarks.tables import measurement, throughput
from benchmarks.tables import workload as workloads

import numpy as np
import pytest

PEERS = ("ours", "dense", "dense_hash_table")


def small(distribution: str = "uniform") -> workloads.Workload:
  return workloads.make(1000, 4, distribution, batch=64, lookup_calls=5, update_calls=5)


def by_hand(workload: workloads.Workload) -> tuple[float, float]:
  """Both checksums from the Adagrad formula in float64."""
  weights = np.zeros([workload.keys, workload.dim])
  norms = np.full([workload.keys, workload.dim], workloads.INITIAL_ACCUMULATOR)

  def update(ranks: np.ndarray, call: int) -> None:
    gradients = workload.gradients[call % workloads.GRADIENT_POOL][: len(ranks)].astype(np.float64)
    norms[ranks] += gradients**2
    weights[ranks] -= workloads.LEARNING_RATE * gradients / np.sqrt(norms[ranks])

  def read(batches: np.ndarray) -> float:
    return sum(measurement.checksum(weights[ranks]) for ranks in batches[: measurement.CHECKED_CALLS])

  for call in range(workload.insert_calls):
    update(workload.insert_ranks(call), call)
  filled = read(workload.lookup)
  for _ in range(2):  # the updates, then the steps
    for call, ranks in enumerate(workload.update):
      update(ranks, call)
  return filled, read(workload.update)


@pytest.mark.parametrize("distribution", workloads.DISTRIBUTIONS)
@pytest.mark.parametrize("peer", PEERS)
def test_every_table_computes_adagrad(peer, distribution):
  workload = small(distribution)
  result = measurement.measure(throughput.make_table(peer, workload), workload)
  filled, updated = by_hand(workload)
  assert result["lookup_checksum"] == pytest.approx(filled, rel=1e-5)
  assert result["update_checksum"] == pytest.approx(updated, rel=1e-5)
  assert len(result["lookup"]) == len(result["update"]) == len(result["step"]) == 5
  # 15 whole calls and a short one that is not timed.
  assert len(result["insert"]) == (0 if peer == "dense" else 15)


def test_random_first_values_change_the_sums():
  workload = small()
  sums = [
    measurement.measure(throughput.make_table(peer, workload), workload)["lookup_checksum"]
    for peer in ("ours", "ours_random")
  ]
  assert sums[0] != pytest.approx(sums[1], rel=1e-3)


@pytest.mark.parametrize("distribution", workloads.DISTRIBUTIONS)
def test_workload_is_fixed_distinct_and_survives_its_files(distribution, tmp_path):
  workload, again = small(distribution), small(distribution)
  np.testing.assert_array_equal(workload.update, again.update)
  assert all(len(np.unique(batch)) == workload.batch for batch in workload.update)
  assert workload.lookup.min() >= 0 and workload.lookup.max() < workload.keys
  workloads.save(workload, tmp_path)
  loaded = workloads.load(tmp_path)
  assert (loaded.keys, loaded.dim, loaded.distribution) == (1000, 4, distribution)
  np.testing.assert_array_equal(loaded.lookup, workload.lookup)
  np.testing.assert_array_equal(loaded.update, workload.update)
  np.testing.assert_array_equal(loaded.gradients, workload.gradients)


def test_zipf_is_skewed():
  counts = np.bincount(workloads.make(1000, 4, "zipf", lookup_calls=64).lookup.ravel(), minlength=1000)
  top = np.sort(counts)[-10:].sum() / counts.sum()
  weights = np.arange(1, 1001) ** -workloads.ZIPF_EXPONENT
  assert top == pytest.approx(weights[:10].sum() / weights.sum(), abs=0.02)


def test_fids_are_distinct():
  assert len(np.unique(workloads.fids_of(np.arange(100000)))) == 100000


def test_workload_refuses_what_it_cannot_make():
  with pytest.raises(ValueError, match="distribution is 'normal'"):
    workloads.make(10, 4, "normal")
  with pytest.raises(ValueError, match="keys 0"):
    workloads.make(0, 4, "uniform")


def fake_result(factor: float) -> dict:
  return {
    "insert": [2e-5, 4e-5, 2e-5], "lookup": [1e-5], "update": [3e-5], "step": [4e-5],
    "lookup_checksum": 10.0 * factor, "update_checksum": 20.0, "bytes_per_key": 100.0,
  }  # fmt: skip


def test_summary():
  row = throughput.summarise(fake_result(1.0), small())
  assert row["lookup"] == pytest.approx(6.4)
  assert row["insert"] == pytest.approx(3.2)
  assert row["insert_all"] == pytest.approx(3 * 64 / 8e-5 / 1e6)
  assert row["worst"] == pytest.approx(2.0)


def test_rounds_are_merged_by_median():
  merged = throughput.merge_rounds([{"lookup": 1.0}, {"lookup": 9.0}, {"lookup": 2.0}])
  assert merged == {"lookup": 2.0}


def test_wrong_checksums_are_named():
  workload = small()
  rows = {name: throughput.summarise(fake_result(1.0), workload) for name in ("ours", "dense")}
  rows["ours_random"] = throughput.summarise(fake_result(5.0), workload)  # other first values: not compared
  throughput.check_sums(rows)
  rows["swiss"] = throughput.summarise(fake_result(1.001), workload)
  with pytest.raises(throughput.BenchmarkError, match="lookup_checksum differs .*: swiss computed something else"):
    throughput.check_sums(rows)
  rows["swiss"]["lookup_checksum"] = math.nan
  with pytest.raises(throughput.BenchmarkError, match="swiss"):
    throughput.check_sums(rows)


def test_a_peer_that_cannot_run_is_reported_and_the_others_go_on(tmp_path):
  with pytest.raises(throughput.BenchmarkError, match="give --tfra_python"):
    throughput.command_of("tfra", tmp_path, None)

  def measure(peer, directory):
    assert (directory / "workload.txt").is_file()
    throughput.command_of("tfra", directory, None) if peer == "tfra" else None
    return fake_result(1.0)

  rows, failed = throughput.run_case(small(), ["ours", "tfra"], 2, measure)
  assert list(rows) == ["ours"]
  assert "tensorflow-recommenders-addons" in failed["tfra"]


def test_tables_print(capsys):
  workload = small()
  rows = {name: throughput.summarise(fake_result(1.0), workload) for name in ("ours", "swiss")}
  throughput.print_rows(rows)
  throughput.print_ratios(rows, workload)
  printed = capsys.readouterr().out
  assert "lookup     against swiss    1.00x, target 1.0x: met" in printed
  assert "insert all against swiss    1.00x, target 1.0x: met" in printed
  json.dumps(rows)
