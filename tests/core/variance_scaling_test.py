# SPDX-License-Identifier: Apache-2.0
"""Variance-scaling initial values."""

import numpy as np
import pytest

from monolith.core.variance_scaling import VarianceScaling


@pytest.mark.parametrize(
  "kwargs, message",
  [
    ({"scale": 0}, "scale is 0; it must be > 0"),
    ({"mode": "fan"}, "mode is 'fan'; it must be one of fan_in"),
    ({"distribution": "normal"}, "distribution is 'normal'; it must be one of truncated_normal"),
  ],
)
def test_wrong_arguments(kwargs, message):
  with pytest.raises(ValueError, match=message):
    VarianceScaling(**kwargs)


@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform"])
@pytest.mark.parametrize(
  "mode, shape, fan",
  [
    ("fan_in", (100, 400), 100), ("fan_out", (100, 400), 400), ("fan_avg", (100, 400), 250),
    ("fan_in", (5, 5, 10, 100), 250), ("fan_out", (5, 5, 10, 100), 2500), ("fan_in", (40000,), 200),
  ],
)  # fmt: skip
def test_variance(distribution, mode, shape, fan):
  values = VarianceScaling(2.0, mode, distribution, seed=1)(shape)
  assert values.shape == shape and values.dtype == np.float32
  np.testing.assert_allclose(values.std(), np.sqrt(2.0 / fan), rtol=0.02)
  np.testing.assert_allclose(values.mean(), 0, atol=5 * np.sqrt(2.0 / fan / values.size))


def test_bounds():
  std = np.sqrt(1 / 100)
  truncated = VarianceScaling(seed=1)((100, 400))
  assert 1.9 * std / 0.87962566103423978 < np.abs(truncated).max() <= 2 * std / 0.87962566103423978
  uniform = VarianceScaling(distribution="uniform", seed=1)((100, 400))
  assert 0.99 * np.sqrt(3) * std < np.abs(uniform).max() <= np.sqrt(3) * std


def test_seed_repeats_and_leaves_numpy_alone():
  np.random.seed(3)
  before = np.random.get_state()[1].copy()
  make = VarianceScaling(seed=7)
  assert (make((3, 4)) == make((3, 4))).all()
  fresh = VarianceScaling()
  assert (fresh((3, 4)) != fresh((3, 4))).any()
  assert (np.random.get_state()[1] == before).all()
