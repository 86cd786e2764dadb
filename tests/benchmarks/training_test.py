# SPDX-License-Identifier: Apache-2.0
"""The training benchmark computes with every peer what it says, on a small setting."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.tables import throughput
from benchmarks.training import deepfm, workload

_RUN = """
import sys
from benchmarks.training import workload
workload.BATCH, workload.POOL = 32, 3
from benchmarks.training import worker
worker.WARM_UP = 3
sys.argv = ["worker", "--peer", "{peer}", "--ids", "50", "--steps", "4"]
worker.main()
"""


def _run(peer):
  done = subprocess.run(
    [sys.executable, "-c", _RUN.format(peer=peer)],
    capture_output=True,
    text=True,
    check=True,
    cwd=throughput.floor.ROOT,
  )
  return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_peers_compute_the_same_losses():
  rows = {peer: _run(peer) for peer in ("ours", "separate", "files", "ps2", "dense", "tf_keras")}
  for row in rows.values():
    assert row["rate"] > 0 and row["peak"] > 0
    assert row["fids"] == rows["ours"]["fids"] > 26
  deepfm.check_losses(rows)
  assert rows["ours"]["ops"] < rows["separate"]["ops"]


def test_losses_that_differ_are_named():
  rows = {peer: {"loss": loss} for peer, loss in (("ours", 0.5), ("dense", 0.5), ("tfra", 0.6), ("ceiling", 0.9))}
  with pytest.raises(throughput.BenchmarkError, match="tfra computed something else"):
    deepfm.check_losses(rows)


def test_clicks_repeat_and_follow_zipf():
  clicks, again = workload.make(1000), workload.make(1000)
  np.testing.assert_array_equal(clicks.ranks, again.ranks)
  np.testing.assert_array_equal(clicks.labels, again.labels)
  counts = np.sort(np.bincount(clicks.ranks[:, 0].ravel(), minlength=1000))[::-1]
  weights = np.arange(1, 1001.0) ** -workload.ZIPF_EXPONENT
  expected = counts.sum() * weights / weights.sum()
  np.testing.assert_allclose(counts[:20], expected[:20], rtol=0.1)
  assert 0.3 < clicks.labels.mean() < 0.7
  assert len(np.unique(clicks.fids >> 48)) == workload.FIELDS


def test_memory_is_that_of_the_fids_that_differ(capsys):
  small = {"ours": {"peak": 1.0e9, "fids": 1e6}, "ceiling": {"peak": 1e9, "fids": 1e6}}
  large = {"ours": {"peak": 1.6e9, "fids": 4e6}, "ceiling": {"peak": 1e9, "fids": 4e6}}
  deepfm.print_memory([small, large])
  assert capsys.readouterr().out.split() == "ours 200 MB a million fids, over 3000000 fids".split()
  deepfm.print_memory([small])
  assert not capsys.readouterr().out
