# SPDX-License-Identifier: Apache-2.0
"""The benchmark of layers: layers and compositions agree, in outputs and gradients; its arithmetic and verdicts."""

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
  assert rows["ours"]["checksum"] > 0


def test_both_are_timed():
  times = worker.time_in_turns("add_bias", 3, 4)
  assert set(times) == set(worker.PEERS)
  assert all(len(seconds) == 4 and min(seconds) > 0 for passes in times.values() for seconds in passes.values())


def test_summary_takes_medians():
  row = speed.summarise({"forward": [3e-3, 9e-3, 4e-3], "both": [5e-3]}, {"peak": 2**21, "checksum": 7.0})
  assert row == pytest.approx({"forward": 4.0, "both": 5.0, "peak": 2.0, "checksum": 7.0})


def test_verdicts():
  rows = {"ours": _row(1.0, 2.0), "composition": _row(3.0, 4.0)}
  line = speed.row_line("x", rows, 2.0)
  assert line.split("|")[1].split() == ["1.00", "3.00", "3.00"] and line.endswith("target 2: met")
  assert speed.row_line("x", rows, 2.5).endswith("target 2.5: MISSED")
  assert "target" not in speed.row_line("x", rows, None)
  assert "SLOW" not in line
  slow = {"ours": _row(1.06, 2.0), "composition": _row(1.0, 2.0)}
  assert speed.row_line("x", slow, None).endswith("SLOW: forward")
  assert len(speed.header_line().split("|")) == len(line.split("|"))


def test_sums_must_agree():
  speed.check_sums({"ours": _row(1, 1), "composition": _row(1, 1, 5.0001)})
  with pytest.raises(throughput.BenchmarkError, match="checksum differs"):
    speed.check_sums({"ours": _row(1, 1), "composition": _row(1, 1, 5.1)})


def test_checksums_see_the_order():
  import tensorflow as tf

  assert worker.checksum(tf.constant([1.0, 2.0])) != worker.checksum(tf.constant([2.0, 1.0]))
  assert worker.checksum([tf.constant([]), tf.constant([2.0])]) == 2.0


def test_names_are_unique():
  with pytest.raises(ValueError, match="benchmark case 'cin_64_64' is there already"):
    registry.case("cin_64_64", np.zeros, lambda: None)(lambda inputs, weights: inputs)
