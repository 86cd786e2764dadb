# SPDX-License-Identifier: Apache-2.0
"""Times one table on one workload; the floors' floor.h does the same in C++. Needs NumPy only.

Order: fill from empty, lookups, updates, steps (a lookup and an update of the same keys in one call). Every key and
gradient exists before the clock starts. The checksums come from calls outside the clock.

Memory is kept warm: a host may take back what a virtual machine freed, and first touch of that measures the host. A
ballast is touched before the fill and let go a piece before every call: several times what the call is about to take,
since the system may hand out what it had before.
"""

from __future__ import annotations

import abc
import os
import time
from typing import Any

from benchmarks.tables import workload as workloads

import numpy as np

CHECKED_CALLS = 4
BALLAST = 8  # times what the table takes
BALLAST_PIECE = 64 << 20  # above the C library's largest threshold: freed, it goes back to the system at once


class Table(abc.ABC):
  """A table under test, fresh and empty. Keys are made ready by `keys` outside the clock."""

  uses_ranks = False  # True: indexed by rank instead of fid
  inserts = True  # False: it has no insertion to measure; the fill only brings it to the same state
  static_bytes = 0  # what it took when it was made, before any key

  @abc.abstractmethod
  def ready(self, array: np.ndarray) -> Any:
    """Turns an array into what the other methods take."""

  @abc.abstractmethod
  def lookup(self, keys: Any) -> Any:
    """Reads rows, float32 `[n, dim]`."""

  @abc.abstractmethod
  def update(self, keys: Any, gradients: Any) -> None:
    """One Adagrad step on distinct keys, inserting those that are absent."""

  @abc.abstractmethod
  def step(self, keys: Any, gradients: Any) -> Any:
    """Reads rows and takes the Adagrad step, in one call."""

  @abc.abstractmethod
  def rows(self, looked_up: Any) -> np.ndarray:
    """What `lookup` gave, as float32 `[n, dim]`."""


def resident_bytes() -> int:
  with open("/proc/self/statm", encoding="utf-8") as statm:
    return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def available_bytes() -> int:
  with open("/proc/meminfo", encoding="utf-8") as meminfo:
    return next(int(line.split()[1]) for line in meminfo if line.startswith("MemAvailable:")) * 1024


class Ballast:
  """Touched memory, given back in pieces."""

  def __init__(self, size: int):
    self._pieces = [np.ones(BALLAST_PIECE, np.int8) for _ in range(min(size, available_bytes() // 3) // BALLAST_PIECE)]
    self._owed = 0

  @property
  def held(self) -> int:
    return len(self._pieces) * BALLAST_PIECE

  def release(self, size: int) -> None:
    """Gives back `size` more bytes, in whole pieces."""
    self._owed += size
    while self._owed > 0 and self._pieces:
      self._pieces.pop()
      self._owed -= BALLAST_PIECE


def checksum(rows: np.ndarray) -> float:
  """Depends on every value and on the place of every row."""
  rows = rows.astype(np.float64)
  places = 1.0 + np.arange(len(rows)) % 7
  return float(places @ (rows + rows * rows).sum(axis=1))


def _timed(call: Any, *arguments: Any) -> float:
  begin = time.perf_counter()
  result = call(*arguments)
  seconds = time.perf_counter() - begin
  del result
  return seconds


class _Feeder:
  """Keys and gradients in the form that a table takes."""

  def __init__(self, table: Table, workload: workloads.Workload):
    self._table = table
    self._gradients = [table.ready(pool) for pool in workload.gradients]
    self._batch = workload.batch
    self._dim = workload.dim

  def keys(self, ranks: np.ndarray) -> Any:
    return self._table.ready(ranks if self._table.uses_ranks else workloads.fids_of(ranks))

  def gradients(self, call: int, size: int) -> Any:
    gradients = self._gradients[call % workloads.GRADIENT_POOL]
    return gradients if size == self._batch else gradients[:size]


def bytes_a_key(workload: workloads.Workload) -> int:
  """About what an entry takes, for the ballast."""
  return 8 * workload.dim + 48


def _fill(table: Table, workload: workloads.Workload, feeder: _Feeder) -> list[float]:
  """Inserts all keys; returns the seconds of the calls, without a short last one."""
  ballast = Ballast(BALLAST * workload.keys * bytes_a_key(workload))
  seconds = []
  for call in range(workload.insert_calls):
    ranks = workload.insert_ranks(call)
    keys, gradients = feeder.keys(ranks), feeder.gradients(call, len(ranks))
    ballast.release(BALLAST * len(ranks) * bytes_a_key(workload))
    taken = _timed(table.update, keys, gradients)
    if len(ranks) == workload.batch:
      seconds.append(taken)
  return seconds


def measure(table: Table, workload: workloads.Workload) -> dict[str, Any]:
  """Runs a workload on a fresh table.

  Returns:
    Seconds of every call as lists `insert`, `lookup`, `update` and `step`; `lookup_checksum` of rows after the fill and
    `update_checksum` of rows after all updates; `bytes_per_key` by which the process has grown.
  """
  feeder = _Feeder(table, workload)
  empty = np.zeros(0, np.int64)
  absent = np.arange(workload.batch) + (0 if table.uses_ranks else workload.keys)
  table.update(feeder.keys(empty), feeder.gradients(0, 0))  # traces
  table.step(feeder.keys(empty), feeder.gradients(0, 0))
  table.rows(table.lookup(feeder.keys(absent)))  # what the framework allocates for results
  before = resident_bytes() - table.static_bytes
  result: dict[str, Any] = {"insert": _fill(table, workload, feeder)}
  result["bytes_per_key"] = (resident_bytes() - before) / workload.keys
  if not table.inserts:
    result["insert"] = []
  lookups = [feeder.keys(ranks) for ranks in workload.lookup]
  result["lookup_checksum"] = sum(checksum(table.rows(table.lookup(keys))) for keys in lookups[:CHECKED_CALLS])
  result["lookup"] = [_timed(table.lookup, keys) for keys in lookups]
  updates = [feeder.keys(ranks) for ranks in workload.update]
  gradients = [feeder.gradients(call, workload.batch) for call in range(len(updates))]
  result["update"] = [_timed(table.update, *call) for call in zip(updates, gradients, strict=True)]
  result["step"] = [_timed(table.step, *call) for call in zip(updates, gradients, strict=True)]
  result["update_checksum"] = sum(checksum(table.rows(table.lookup(keys))) for keys in updates[:CHECKED_CALLS])
  return result
