# SPDX-License-Identifier: Apache-2.0
"""The benchmark of requests to exports: its exports predict the same, and the combining ones run fewer nodes."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.serving import requests


@pytest.mark.slow
@pytest.mark.parametrize("num_ps", [0, 2])
def test_exports_agree_and_differ_in_nodes(tmp_path, num_ps):
  found = requests.exports(6, num_ps, str(tmp_path))
  assert found.keys() == requests.EXPORTS.keys()
  request = requests.records(6, 5, seed=1)
  expected = found["fid by fid"].predict(request)
  assert expected.shape == (5,) and np.ptp(expected) > 0
  for export in found.values():
    np.testing.assert_allclose(export.predict(request), expected, rtol=0, atol=1e-6)
    assert export.run_nodes < export.nodes
    assert export is found["fid by fid"] or export.run_nodes < found["fid by fid"].run_nodes
  times = requests.measure(found, request, rounds=2)
  assert all(len(rounds) == 2 for rounds in times.values())
