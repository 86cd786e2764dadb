# SPDX-License-Identifier: Apache-2.0
"""The benchmark of losses at tiny sizes: all peers compute the same numbers, and a lie is caught."""

from __future__ import annotations

from benchmarks.layers import inbatch_auc

import numpy as np
import pytest


@pytest.mark.parametrize("gradient", [False, True])
def test_peers_agree_and_are_timed(gradient):
  times = inbatch_auc.measure(*inbatch_auc.make_batch(50, 0.3), calls=2, gradient=gradient)
  assert set(times) == {"op", "n by n", "p by n"} and all(t > 0 for t in times.values())


@pytest.mark.parametrize("value", [1.01, float("nan")])
def test_another_number_fails_the_run(value):
  with pytest.raises(inbatch_auc.BenchmarkError, match="cheat differs from op by"):
    inbatch_auc.check({"op": [np.ones(3)], "cheat": [np.array([1.0, value, 1.0])]})


def test_batches_have_both_kinds_of_rows():
  labels, logits = inbatch_auc.make_batch(1000, 0.1)
  assert 50 < labels.sum() < 150 and logits[labels > 0].mean() > logits[labels == 0].mean() + 0.5
