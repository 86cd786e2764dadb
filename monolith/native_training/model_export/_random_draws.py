# SPDX-License-Identifier: Apache-2.0
"""Where made-up data gets its chance and its time from."""

from __future__ import annotations

import time
from typing import List, Optional, Sequence, Union

import numpy as np

__all__ = ["Draws", "Seed"]

Seed = Union[None, int, np.random.Generator, "Draws"]


class Draws:
  """A generator and a clock that stands still, so that what is drawn can be drawn again.

  Args:
    rng: a NumPy generator, a seed of one, or None for another one each time.
    now: seconds since the epoch; the present by default.
  """

  def __init__(self, rng: Union[None, int, np.random.Generator] = None, now: Optional[int] = None):
    self.rng = np.random.default_rng(rng)
    self.now = int(time.time()) if now is None else int(now)

  @classmethod
  def of(cls, rng: Seed = None) -> Draws:
    """The argument itself, or Draws from it."""
    return rng if isinstance(rng, Draws) else cls(rng)

  def bits(self, num_bits: int) -> int:
    """An integer in [0, 2**num_bits); num_bits <= 63."""
    return int(self.rng.integers(1 << num_bits))

  def below(self, limit: int, size: int = 1) -> List[int]:
    """`size` integers in [0, limit)."""
    return self.rng.integers(limit, size=size).tolist()

  def floats(self, size: int) -> List[float]:
    """`size` numbers in [0, 1)."""
    return self.rng.random(size).tolist()

  def happens(self, probability: float) -> bool:
    """True with this probability."""
    return bool(self.rng.random() < probability)

  def texts(self, size: int) -> List[str]:
    """`size` words of eight hexadecimal digits."""
    return [f"{number:08x}" for number in self.below(1 << 32, size)]

  def one_of(self, values: Sequence[int]) -> int:
    """One of the values."""
    return int(values[self.below(len(values))[0]])
