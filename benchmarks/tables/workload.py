# SPDX-License-Identifier: Apache-2.0
"""The keys, batches and gradients of the throughput benchmark: made once, read by every table, Python or C++.

A key is a rank below the number of keys (what a dense variable is indexed by) or its fid, a bijection of the rank.
Files of a workload, all little-endian: `workload.txt` (one "name value" a line), `lookup.i64` and `update.i64` (ranks,
`[calls, batch]`), `gradients.f32` (`[pool, batch, dim]`, call i takes number i mod pool). Needs NumPy only.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

GRADIENT_POOL = 4
ZIPF_EXPONENT = 1.05
DISTRIBUTIONS = ("uniform", "zipf")
LEARNING_RATE = 0.05
INITIAL_ACCUMULATOR = 0.1


@dataclasses.dataclass(frozen=True)
class Workload:
  """What one run of every table does; `lookup` and `update` are ranks, int64 `[calls, batch]`."""

  keys: int
  dim: int
  distribution: str
  lookup: np.ndarray
  update: np.ndarray
  gradients: np.ndarray

  @property
  def batch(self) -> int:
    """Keys a call."""
    return self.lookup.shape[1]

  def insert_ranks(self, call: int) -> np.ndarray:
    """The ranks of one call of the fill; the last one may be short."""
    return np.arange(call * self.batch, min((call + 1) * self.batch, self.keys), dtype=np.int64)

  @property
  def insert_calls(self) -> int:
    return -(-self.keys // self.batch)


def fids_of(ranks: np.ndarray) -> np.ndarray:
  """Maps ranks to fids, int64: SplitMix64 (Steele, Lea, Flood 2014), a bijection."""
  x = (ranks.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
  x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return (x ^ (x >> np.uint64(31))).view(np.int64)


def _zipf_weights(keys: int, random: np.random.Generator) -> np.ndarray:
  """Probabilities of the ranks; popular keys are scattered over them, as over the slots of a real table."""
  weights = np.arange(1, keys + 1, dtype=np.float64) ** -ZIPF_EXPONENT
  return random.permutation(weights / weights.sum())


def _unique_batch(keys: int, batch: int, weights: np.ndarray | None, random: np.random.Generator) -> np.ndarray:
  """Distinct ranks, drawn one after the other by their weights without replacement."""
  if weights is None:
    drawn = np.unique(random.integers(0, keys, min(4 * batch, 2 * keys)))
    return random.permutation(drawn if len(drawn) >= batch else keys)[:batch].astype(np.int64)
  arrivals = random.standard_exponential(keys) / weights
  return random.permutation(np.argpartition(arrivals, batch - 1)[:batch]).astype(np.int64)


def make(
  keys: int, dim: int, distribution: str, batch: int = 65536, lookup_calls: int = 64, update_calls: int = 32
) -> Workload:
  """Makes a workload from fixed seeds; `batch` is capped at the number of keys.

  Raises:
    ValueError: the distribution is unknown, or a size is below 1.
  """
  if distribution not in DISTRIBUTIONS:
    raise ValueError(f"distribution is {distribution!r}; use one of {', '.join(DISTRIBUTIONS)}.")
  if min(keys, dim, batch, lookup_calls, update_calls) < 1:
    raise ValueError(f"keys {keys}, dim {dim}, batch {batch} and the calls must all be at least 1.")
  batch = min(batch, keys)
  random = np.random.default_rng(20240229)
  weights = None if distribution == "uniform" else _zipf_weights(keys, random)
  draws = lookup_calls * batch
  if weights is None:
    lookup = random.integers(0, keys, draws, dtype=np.int64)
  else:
    cumulative = np.cumsum(weights)
    lookup = np.minimum(np.searchsorted(cumulative, random.random(draws) * cumulative[-1], side="right"), keys - 1)
  update = np.stack([_unique_batch(keys, batch, weights, random) for _ in range(update_calls)])
  gradients = random.standard_normal((GRADIENT_POOL, batch, dim), dtype=np.float32)
  return Workload(keys, dim, distribution, lookup.reshape(lookup_calls, batch).astype(np.int64), update, gradients)


def save(workload: Workload, directory: pathlib.Path) -> None:
  """Writes the files that this module's first lines describe."""
  numbers = {
    "keys": workload.keys,
    "dim": workload.dim,
    "batch": workload.batch,
    "lookup_calls": len(workload.lookup),
    "update_calls": len(workload.update),
    "gradient_pool": GRADIENT_POOL,
    "learning_rate": LEARNING_RATE,
    "initial_accumulator": INITIAL_ACCUMULATOR,
    "distribution": workload.distribution,
  }
  (directory / "workload.txt").write_text("".join(f"{name} {value}\n" for name, value in numbers.items()))
  workload.lookup.tofile(directory / "lookup.i64")
  workload.update.tofile(directory / "update.i64")
  workload.gradients.tofile(directory / "gradients.f32")


def load(directory: pathlib.Path) -> Workload:
  """Reads what `save` wrote."""
  lines = (directory / "workload.txt").read_text().splitlines()
  values = dict(line.split(" ", 1) for line in lines)
  batch, dim = int(values["batch"]), int(values["dim"])
  return Workload(
    keys=int(values["keys"]),
    dim=dim,
    distribution=values["distribution"],
    lookup=np.fromfile(directory / "lookup.i64", np.int64).reshape(-1, batch),
    update=np.fromfile(directory / "update.i64", np.int64).reshape(-1, batch),
    gradients=np.fromfile(directory / "gradients.f32", np.float32).reshape(-1, batch, dim),
  )
