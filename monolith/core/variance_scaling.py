# SPDX-License-Identifier: Apache-2.0
"""Variance-scaling initial values in NumPy, for what is initialized outside of a graph."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

# Standard deviation of a unit normal cut off at two standard deviations; dividing by it restores the variance.
_TRUNCATED_STD = 0.87962566103423978
_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")


def _compute_fans(shape: Sequence[int]) -> tuple[float, float]:
  """Returns (fan in, fan out): the last two axes times the receptive field; for other ranks the root of the size."""
  if len(shape) == 2:
    return float(shape[0]), float(shape[1])
  if len(shape) in (3, 4, 5):
    receptive = math.prod(shape[:-2])
    return float(shape[-2] * receptive), float(shape[-1] * receptive)
  root = math.sqrt(math.prod(shape))
  return root, root


class VarianceScaling:
  """Draws arrays whose variance is `scale / fan`.

  Args:
    scale: > 0.
    mode: which fan: 'fan_in', 'fan_out' or their mean, 'fan_avg'.
    distribution: 'truncated_normal' (cut off at two standard deviations), 'untruncated_normal' or 'uniform'.
    seed: makes every call return the same array; None draws afresh. NumPy's global generator is not touched.

  Raises:
    ValueError: an argument is not one of these.
  """

  def __init__(
    self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal", seed: int | None = None
  ):
    if scale <= 0:
      raise ValueError(f"VarianceScaling: scale is {scale}; it must be > 0.")
    if mode not in _MODES:
      raise ValueError(f"VarianceScaling: mode is {mode!r}; it must be one of {', '.join(_MODES)}.")
    if distribution not in _DISTRIBUTIONS:
      raise ValueError(
        f"VarianceScaling: distribution is {distribution!r}; it must be one of {', '.join(_DISTRIBUTIONS)}."
      )
    self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed

  def __call__(self, shape: Sequence[int], dtype: np.dtype | type = np.float32) -> np.ndarray:
    fan_in, fan_out = _compute_fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
    variance = self.scale / max(1.0, fan)
    generator = np.random.default_rng(self.seed)
    if self.distribution == "uniform":
      limit = math.sqrt(3.0 * variance)
      return generator.uniform(-limit, limit, shape).astype(dtype)
    if self.distribution == "untruncated_normal":
      return (generator.standard_normal(shape) * math.sqrt(variance)).astype(dtype)
    return (_truncated_normal(generator, shape) * (math.sqrt(variance) / _TRUNCATED_STD)).astype(dtype)

  def get_config(self) -> dict[str, object]:
    return {"scale": self.scale, "mode": self.mode, "distribution": self.distribution, "seed": self.seed}


def _truncated_normal(generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
  """Unit normals within two standard deviations: what falls outside is drawn again."""
  values = generator.standard_normal(shape)
  outside = np.abs(values) > 2
  while outside.any():
    values[outside] = generator.standard_normal(int(outside.sum()))
    outside = np.abs(values) > 2
  return values
