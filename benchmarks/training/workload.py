# SPDX-License-Identifier: Apache-2.0
"""Synthetic clicks for the training benchmark: every peer sees the same batches in the same order.

Every field has one id an example, drawn by Zipf's law; a click is likelier for some ids than for others. A pool of
batches is repeated, so that reading them costs nothing beside training. Needs NumPy only.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from benchmarks.tables.workload import ZIPF_EXPONENT

FIELDS, DIM, BATCH = 26, 16, 2048
HIDDEN = (256, 128, 64)
LEARNING_RATE, INITIAL_ACCUMULATOR = 0.05, 0.1
POOL = 64  # batches
NAMES = [f"f_{field:02}" for field in range(FIELDS)]


@dataclasses.dataclass(frozen=True)
class Clicks:
  """`ranks` int64 [POOL, FIELDS, BATCH], below the number of ids of a field; `labels` float32 [POOL, BATCH]."""

  ranks: np.ndarray
  labels: np.ndarray

  @property
  def fids(self) -> np.ndarray:
    """The ids as fids: of field f in slot f + 1."""
    slots = (np.arange(FIELDS, dtype=np.int64) + 1) << 48
    return self.ranks + slots[np.newaxis, :, np.newaxis]

  @property
  def distinct(self) -> int:
    """How many fids there are."""
    return sum(len(np.unique(self.ranks[:, field])) for field in range(self.ranks.shape[1]))


def make(num_ids: int) -> Clicks:
  """The clicks over `num_ids` ids a field; popular ids are scattered over the ranks."""
  random = np.random.default_rng(7)
  weights = np.arange(1, num_ids + 1, dtype=np.float64) ** -ZIPF_EXPONENT
  cumulated = np.cumsum(weights / weights.sum())
  taste = random.normal(size=num_ids)
  ranks = np.empty([POOL, FIELDS, BATCH], np.int64)
  for field in range(FIELDS):
    drawn = np.minimum(np.searchsorted(cumulated, random.random([POOL, BATCH])), num_ids - 1)
    ranks[:, field] = random.permutation(num_ids)[drawn]
  scores = taste[ranks].sum(1) / np.sqrt(FIELDS)
  labels = random.random([POOL, BATCH]) < 1 / (1 + np.exp(-scores))
  return Clicks(ranks, labels.astype(np.float32))


def first_weights() -> list[tuple[np.ndarray, np.ndarray]]:
  """First kernels and biases of the dense layers, the same for every peer."""
  random = np.random.default_rng(8)
  sizes = (FIELDS * DIM, *HIDDEN, 1)
  return [
    (
      (random.standard_normal(shape) * np.sqrt(2 / shape[0])).astype(np.float32),
      np.full(shape[1], 0.01, np.float32),
    )
    for shape in zip(sizes[:-1], sizes[1:], strict=True)
  ]
