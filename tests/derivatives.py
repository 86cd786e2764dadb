# SPDX-License-Identifier: Apache-2.0
"""Derivatives of NumPy twins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def derive(f: Callable[..., float], arrays: Sequence[np.ndarray], step: float = 1e-6) -> list[np.ndarray]:
  """Returns the gradients of the scalar `f(*arrays)`, one an array, by central differences in float64."""
  arrays = [np.array(a, np.float64) for a in arrays]
  found = [np.zeros_like(a) for a in arrays]
  for array, gradient in zip(arrays, found, strict=True):
    for index in np.ndindex(*array.shape):
      old = array[index]
      array[index] = old + step
      above = f(*arrays)
      array[index] = old - step
      gradient[index] = (above - f(*arrays)) / (2 * step)
      array[index] = old
  return found
