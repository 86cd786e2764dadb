# SPDX-License-Identifier: Apache-2.0
"""Saves and restores a graph's single hash tables with its checkpoints."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Set
from typing import Any, NamedTuple, Optional

from monolith.native_training import _table_listeners
from monolith.native_training import utils
from monolith.native_training._hash_table import HASH_TABLE_GRAPH_KEY
from monolith.native_training._hash_table_factories import SHARED_NAME_PREFIX
from monolith.native_training._table_listeners import Source

import tensorflow as tf
from absl import logging

_SLEEP_PER_TABLE_MS = 15


def table_tensor_prefix(table: Any) -> str:
  """The name of a table's files."""
  return table.name.replace(":", "-").replace("/", "-")


def _tables() -> dict[str, Any]:
  return {table_tensor_prefix(table): table for table in tf.compat.v1.get_collection(HASH_TABLE_GRAPH_KEY)}


class HashTableCheckpointSaverListener(_table_listeners.TableSaverListener):
  """Writes the tables into `<basename>-<step>.assets/` before each checkpoint.

  Args:
    basename: path of the checkpoints without step, such as `<model_dir>/model.ckpt`.
  """

  def _make_saves(self) -> _table_listeners.TableOps:
    tables = _tables()
    sleep_ms = _SLEEP_PER_TABLE_MS * len(tables)
    return _table_listeners.TableOps(tables, lambda table, path: table.save(path, random_sleep_ms=sleep_ms))


class Shard(NamedTuple):
  """A table of a graph as a shard of what was perhaps spread over parameter servers."""

  base: str
  number: int
  num_shards: int


def _shard_on_server(name: str, device: str) -> Optional[tuple[str, int]]:
  """(base name, server) of a table named `<base>_<server>` on that server; None for a table of its own."""
  spec = tf.DeviceSpec.from_string(device or "")
  match = re.match(r"(.*)_(\d+)$", name)
  if match and spec.job == utils.PS_JOB_NAME and spec.task == int(match.group(2)):
    return match.group(1), int(match.group(2))
  return None


def find_shards(devices: dict[str, str]) -> dict[str, Shard]:
  """Tells which tables are shards of one: those of one base name whose suffix is the number of their server.

  Args:
    devices: name -> device.
  """
  groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
  shards = {}
  for name, device in devices.items():
    on_server = _shard_on_server(name, device)
    if on_server is None:
      shards[name] = Shard(name, 0, 1)
    else:
      groups[on_server[0]].append((on_server[1], name))
  for base, members in groups.items():
    for index, (_, name) in enumerate(sorted(members)):
      shards[name] = Shard(base, index, len(members))
  return shards


def _sets(base: str, saved: Set[str], others: Set[str]) -> list[str]:
  """The saved sets of a base name: the one of just that name, or those of its shards; not those of other tables."""
  if base in saved:
    return [base]
  sets: list[str] = []
  while f"{base}_{len(sets)}" in saved - others:
    sets.append(f"{base}_{len(sets)}")
  return sets


def _source(shard: Shard, base: str, saved: Set[str], others: Set[str]) -> Optional[Source]:
  sets = _sets(base, saved, others)
  if not sets:
    return None
  if len(sets) == shard.num_shards:
    return Source([sets[shard.number]], 0, 1)
  return Source(sets, shard.number, shard.num_shards)


def _full_name(restore_name: str) -> str:
  return restore_name if restore_name.startswith(SHARED_NAME_PREFIX) else SHARED_NAME_PREFIX + restore_name


def plan_restore(path_prefix: str, tables: dict[str, Any], shards: dict[str, Shard]) -> dict[str, Source]:
  """Decides what each table reads: of its own name, then of its extra restore names, the first with files.

  A name stands for the files of just that name, or else for all of `<name>_0`, `<name>_1`, ... As many sets as shards:
  each shard reads its own. Another number: every shard reads every set and keeps the fids that are its own.

  Args:
    path_prefix: stands before the names of the files.
    tables: file name -> table.
    shards: file name -> which shard it is.

  Raises:
    ValueError: nothing was saved for a table.
  """
  saved = _table_listeners.saved_names(path_prefix)
  plan = {}
  for name, table in tables.items():
    shard = shards[name]
    others = {n for n in tables if shards[n].base != shard.base}
    bases = [shard.base, *map(_full_name, table.extra_restore_names)]
    sources = (_source(shard, base, saved, others if base == shard.base else set()) for base in bases)
    source = next(filter(None, sources), None)
    if source is None:
      raise ValueError(
        f"{path_prefix} holds nothing of hash table {name!r}; looked for the files of {', '.join(bases)}. Restore from "
        "a checkpoint that was saved with it, or give its old name in extra_restore_names."
      )
    plan[name] = source._replace(basenames=[path_prefix + basename for basename in source.basenames])
  return plan


class HashTableCheckpointRestorerListener(_table_listeners.TableRestorerListener):
  """Restores the tables from the checkpoint that the dense variables are restored from.

  Without a checkpoint, the tables are restored from the directory `*.assets` beside `basename`, if there is just one.

  Args:
    basename: path of the checkpoints without step.
    ps_monitor: if given, only tables on devices that it reports uninitialised are restored.
  """

  def _tables(self) -> dict[str, Any]:
    return _tables()

  def _table_shards(self) -> dict[str, Shard]:
    return find_shards({name: table.handle.device for name, table in self._by_name.items()})

  def _shards(self) -> Iterator[tuple[int, int, str]]:
    for name, shard in self._table_shards().items():
      yield shard.number, shard.num_shards, name

  def _plan(self, path_prefix: str) -> dict[str, Source]:
    return plan_restore(path_prefix, self._by_name, self._table_shards())

  def _without_checkpoint(self) -> Optional[str]:
    found = [path for path in tf.io.gfile.glob(os.path.join(self._model_dir, "*.assets")) if tf.io.gfile.isdir(path)]
    if len(found) == 1:
      return os.path.join(found[0], "")
    logging.info("%s has no checkpoint and %d asset directories; tables start empty.", self._model_dir, len(found))
    return None


class HashTableRestorerSaverListener(_table_listeners.RestoreAfterSaveListener):
  """Restores the tables right after each save, so that they lose what the save dropped as expired.

  Args:
    ckpt_prefix: path of the checkpoints without step.
  """

  def _tables(self) -> dict[str, Any]:
    return _tables()
