# SPDX-License-Identifier: Apache-2.0
"""The step benchmark: the peers of this environment compute the same numbers, and its arithmetic and verdicts."""

from __future__ import annotations

from benchmarks.tables import step, step_worker, throughput

import numpy as np
import pytest


def _row(embeddings: float, checksum: float = 5.0) -> dict[str, float]:
  return {"step": embeddings + 1, "without": 1.0, "embeddings": embeddings, "checksum": checksum}


def test_summary_takes_medians():
  row = step.summarise({"step": [3e-3, 9e-3, 4e-3], "without": [1e-3, 2e-3, 1e-3], "checksum": 7.0})
  assert row == pytest.approx({"step": 4.0, "without": 1.0, "embeddings": 3.0, "checksum": 7.0})


def test_ratios_and_targets():
  rows = {"ours": _row(2.0), "ours_separate": _row(4.0), "dense": _row(5.9), "tfra": _row(8.0)}
  assert step.ratio_lines(rows) == [
    "  ours / ours_separate  0.500",
    "  ours / dense          0.339, target 0.333: MISSED",
    "  ours / tfra           0.250, target 0.250: met",
  ]
  assert step.ratio_lines({"dense": _row(1.0)}) == []


def test_losses_must_agree():
  step.check_sums({})
  step.check_sums({"ours": _row(1.0), "dense": _row(1.0, 5.0001)})
  with pytest.raises(throughput.BenchmarkError, match="checksum differs .*: tfra computed something else"):
    step.check_sums({"ours": _row(1.0), "dense": _row(1.0), "tfra": _row(1.0, 5.1)})


def test_status_tells_of_peers_that_fail_or_disagree(capsys):
  good = {"ours": _row(1.0)}
  assert throughput.finish_case(good, {}, step.check_sums) == 0
  assert throughput.finish_case(good, {"tfra": "not there"}, step.check_sums) == 1
  assert "tfra did not run: not there" in capsys.readouterr().out
  assert throughput.finish_case({**good, "dense": _row(1.0, 9.0)}, {}, step.check_sums) == 1
  assert "error: checksum differs" in capsys.readouterr().err


def test_commands():
  with pytest.raises(throughput.BenchmarkError, match="give --tfra_python"):
    step.command_of("tfra", 10, 1, None)
  assert step.command_of("ours", 10, 3, None)[-6:] == ["--peer", "ours", "--ids", "10", "--steps", "3"]


def test_every_rank_is_trained_once_before_the_clock():
  batches = step_worker.cover(step_worker.BATCH + 10)
  assert len(batches) == 2 and all(b.shape == (step_worker.FIELDS, step_worker.BATCH) for b in batches)
  for ranks in np.concatenate(batches, 1)[:, : step_worker.BATCH + 10]:
    assert sorted(ranks) == list(range(step_worker.BATCH + 10))


def test_batches_are_fixed_and_in_range():
  one, two = step_worker.batches(50, 2), step_worker.batches(50, 2)
  np.testing.assert_array_equal(one, two)
  assert np.min(one) == 0 and np.max(one) == 49


def test_unknown_peer():
  with pytest.raises(ValueError, match="'redis' is no peer; use one of ours, ours_separate, dense, tfra"):
    step_worker.make_embeddings("redis", 10)


@pytest.mark.slow
def test_peers_of_this_environment_agree():
  rows, failed = step.run_case(100, ["ours", "ours_separate", "dense"], 1, 3, None)
  assert failed == {} and list(rows) == ["ours", "ours_separate", "dense"]
  step.check_sums(rows)
