# SPDX-License-Identifier: Apache-2.0
"""The benchmark of layers, losses and optimizers: both peers agree, in outputs and gradients; a tiny run; verdicts."""

from __future__ import annotations

from benchmarks.layers import registry, speed, worker
from benchmarks.tables import throughput

import numpy as np
import pytest


def _row(forward: float, both: float, checksum: float = 5.0) -> dict[str, float]:
  return {"forward": forward, "both": both, "peak": 1.0, "checksum": checksum}


@pytest.mark.parametrize("case", registry.CASES)
def test_layers_and_compositions_agree(case):
  rows = {peer: worker.weigh(case, peer, 3) for peer in worker.PEERS}
  speed.check_sums(rows)
  assert sum(rows["ours"]["checksums"]) > 0


@pytest.mark.parametrize("case, passes", [("add_bias", {"forward", "both"}), ("adamom", {"forward"})])
def test_both_are_timed(case, passes):
  times = worker.time_in_turns(case, 3, 4, seconds=60)
  assert set(times) == set(worker.PEERS)
  for taken in times.values():
    assert set(taken) == passes
    assert all(len(seconds) == 4 and min(seconds) > 0 for seconds in taken.values())


def test_a_child_returns_its_result_or_fails():
  assert worker.in_a_child(lambda: {"a": [1, 2.5]}) == {"a": [1, 2.5]}
  with pytest.raises(RuntimeError, match="a child failed"):
    worker.in_a_child(lambda: 1 / 0)


def test_time_runs_out_after_a_few_calls():
  times = worker.time_in_turns("add_bias", 3, 1000, seconds=0)
  assert {len(seconds) for taken in times.values() for seconds in taken.values()} == {worker.LEAST_STEPS + 1}


def test_whole_run(capsys):
  """Both workers run, and every case gets its row."""
  assert speed.main(["--cases", "add_bias", "rmsprop", "mean_squared", "--batch", "3", "--steps", "2"]) == 0
  lines = capsys.readouterr().out.splitlines()
  rows = {line.split()[0]: line for line in lines if line.count("|") == 5}
  assert {"layer", "add_bias", "rmsprop", "mean_squared"} == set(rows)
  assert lines[-1].split()[1:3] == ["of", "3"]
  assert rows["rmsprop"].split("|")[2].split() == ["-", "-", "-"]


def test_a_worker_that_fails_fails_the_run(capsys):
  assert speed.main(["--cases", "add_bias", "--batch", "-1"]) == 1
  error = capsys.readouterr().err
  assert "the worker ended with status 1" in error and "negative dimensions" in error


def test_summary_takes_medians():
  row = speed.summarise({"forward": [3e-3, 9e-3, 4e-3], "both": [5e-3]}, {"peak": 2**21, "checksums": [3.0, 4.0]})
  assert row == pytest.approx({"forward": 4.0, "both": 5.0, "peak": 2.0, "checksum": 7.0})


def test_verdicts():
  rows = {"ours": _row(1.0, 2.0), "composition": _row(3.0, 4.0)}
  line = speed.row_line("x", rows, 2.0)
  assert line.split("|")[1].split() == ["1.00", "3.00", "3.00"] and line.endswith("| 2.00 met")
  assert speed.row_line("x", rows, 2.5).endswith("2.50 MISSED")
  assert speed.row_line("x", rows, None).endswith("| 0.95 met")
  slow = {"ours": _row(1.06, 2.0), "composition": _row(1.0, 2.0)}
  assert speed.row_line("x", slow, None).endswith("0.95 SLOW: forward")
  assert speed.row_line("x", slow, 2.0).endswith("2.00 MISSED SLOW: forward")
  assert len(speed.header_line().split("|")) == len(line.split("|"))


def _sums(*sums: float) -> dict[str, list[float]]:
  return {"checksums": list(sums)}


def test_every_sum_must_agree():
  speed.check_sums({"ours": _sums(5, 2e-3), "composition": _sums(5.0001, 2e-3)})
  speed.check_sums({"ours": _sums(5, 3e-9), "composition": _sums(5, 0)})
  with pytest.raises(throughput.BenchmarkError, match="checksum of tensor 1 differs"):
    speed.check_sums({"ours": _sums(5, 2e-3), "composition": _sums(5, 2.1e-3)})


def test_a_run_of_peers_that_disagree_fails(monkeypatch, capsys):
  weights = {"ours": {**_sums(5), "peak": 1}, "composition": {**_sums(6), "peak": 1}}
  monkeypatch.setattr(speed, "run_worker", lambda arguments: iter([("add_bias", weights)]))
  assert speed.main(["--cases", "add_bias"]) == 1
  assert "add_bias: checksum of tensor 0 differs" in capsys.readouterr().err


def test_checksums_see_the_order():
  import tensorflow as tf

  assert worker.checksums(tf.constant([1.0, 2.0])) != worker.checksums(tf.constant([2.0, 1.0]))
  assert worker.checksums([tf.constant([]), None, tf.constant([2.0])]) == [0.0, 0.0, 2.0]


def test_names_are_unique():
  with pytest.raises(ValueError, match="benchmark case 'cin_64_64' is there already"):
    registry.case("cin_64_64", np.zeros, lambda: None)(lambda inputs, weights: inputs)
