# SPDX-License-Identifier: Apache-2.0
"""Saves and restores a graph's multi hash tables with its checkpoints."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from monolith.native_training import _checkpoint_files, _proto_files
from monolith.native_training import _table_listeners
from monolith.native_training._table_listeners import Source
from monolith.native_training.proto import ckpt_info_pb2

import tensorflow as tf
from google.protobuf import text_format

_GRAPH_KEY = "monolith_multi_hash_tables"


def _tables() -> dict[str, Any]:
  return {table.shared_name: table for table in tf.compat.v1.get_collection(_GRAPH_KEY)}


def _count_entries(session: tf.compat.v1.Session, stat: Any, basename: tf.Tensor, paths: list[str]) -> dict[str, int]:
  """Entries of each table in the saved sets `paths`, by the sets' metadata."""
  counts: dict[str, int] = defaultdict(int)
  for path in paths:
    for name, count in zip(*_table_listeners.run(session, stat, {basename: path}), strict=True):
      counts[name.decode()] += int(count)
  return counts


class MultiHashTableCheckpointSaverListener(_table_listeners.TableSaverListener):
  """Writes the tables into `<basename>-<step>.assets/` before each checkpoint.

  Args:
    basename: path of the checkpoints without step, such as `<model_dir>/model.ckpt`.
    write_ckpt_info: also write `ckpt.info-<step>`, with the number of entries of each table.
  """

  def __init__(self, basename: str, write_ckpt_info: bool = True):
    super().__init__(basename)
    self._model_dir = os.path.dirname(basename)
    self._write_ckpt_info = write_ckpt_info

  def _make_saves(self) -> _table_listeners.TableOps:
    tables = _tables()
    self._stat_basename = tf.compat.v1.placeholder(tf.string, [])
    self._stat = next(iter(tables.values())).feature_stat(self._stat_basename) if tables else None
    return _table_listeners.TableOps(tables, lambda table, path: table.save(path))

  def _saved(self, session: tf.compat.v1.Session, step: int, paths: list[str]) -> None:
    if not self._write_ckpt_info:
      return
    counts = _count_entries(session, self._stat, self._stat_basename, paths)
    info = ckpt_info_pb2.CkptInfo(feature_counts=counts)
    _checkpoint_files.atomic_write_text(
      os.path.join(self._model_dir, f"ckpt.info-{step}"), text_format.MessageToString(info)
    )


def _in_order(names: Any) -> list[str]:
  return sorted(names, key=lambda name: (len(name), name))


def _saved_names(assets: str, base: str) -> list[str]:
  """Names of the saved sets that belong to tables `<base>`, `<base>0`, `<base>1`, ..., sorted by number."""
  pattern = re.compile(re.escape(base) + r"\d*$")
  return _in_order(filter(pattern.match, _table_listeners.saved_names(os.path.join(assets, ""))))


def _groups(shared_names: list[str]) -> dict[str, list[str]]:
  """Names of shards of one table: base name -> its shards in order."""
  groups: dict[str, list[str]] = defaultdict(list)
  for name in shared_names:
    groups[re.sub(r"\d+$", "", name)].append(name)
  return {base: _in_order(names) for base, names in groups.items()}


def _check_sets(assets: str, base: str, saved: list[str]) -> None:
  """Raises if files of a set are gone while others tell of it; `_check_counts` finds the rest."""
  everything = _table_listeners.saved_names(os.path.join(assets, ""))
  described = {name[: -len(".meta")] for name in everything if name.endswith(".meta")}
  lost = {name for name in described if re.fullmatch(re.escape(base) + r"\d*", name)} - set(saved)
  numbers = [int(name[len(base) :]) for name in saved if name != base]
  lost |= {f"{base}{i}" for i in range(max(numbers, default=0))} - set(saved) if numbers else set()
  if lost:
    raise ValueError(
      f"{assets} has lost the files of {', '.join(_in_order(lost))}; bring them back, or restore another checkpoint."
    )


def plan_restore(assets: str, shared_names: list[str]) -> dict[str, Source]:
  """Decides what each table of a graph reads.

  As many saved sets as there are shards: each shard reads its own. Another number: every shard reads every set and
  keeps the fids that are its own.

  Raises:
    ValueError: nothing was saved for a table, or files of a shard are gone.
  """
  plan = {}
  for base, names in _groups(shared_names).items():
    saved = _saved_names(assets, base)
    if not saved:
      raise ValueError(
        f"{assets} holds nothing of multi hash table {names[0]!r}; restore from a checkpoint that was saved with it."
      )
    _check_sets(assets, base, saved)
    for index, name in enumerate(names):
      if len(saved) == len(names) and (name in saved or len(names) == 1):
        own = name if name in saved else saved[0]
        plan[name] = Source([os.path.join(assets, own)], 0, 1)
      else:
        plan[name] = Source([os.path.join(assets, s) for s in saved], index, len(names))
  return plan


class MultiHashTableCheckpointRestorerListener(_table_listeners.TableRestorerListener):
  """Restores the tables from the checkpoint that the dense variables are restored from.

  Args:
    basename: path of the checkpoints without step.
    ps_monitor: if given, only tables on devices that it reports uninitialised are restored.
  """

  def _tables(self) -> dict[str, Any]:
    return _tables()

  def _shards(self) -> Iterator[tuple[int, int, str]]:
    for names in _groups(list(self._by_name)).values():
      yield from ((index, len(names), name) for index, name in enumerate(names))

  def _plan(self, path_prefix: str) -> dict[str, Source]:
    return plan_restore(path_prefix, list(self._by_name))

  def begin(self) -> None:
    super().begin()
    self._stat_basename = tf.compat.v1.placeholder(tf.string, [])
    tables = list(self._by_name.values())
    self._stat = tables[0].feature_stat(self._stat_basename) if tables else None

  def _restore_from_path_prefix(self, sess: tf.compat.v1.Session, path_prefix: str) -> None:
    self._check_counts(sess, path_prefix)
    super()._restore_from_path_prefix(sess, path_prefix)

  def _check_counts(self, session: tf.compat.v1.Session, assets: str) -> None:
    """Compares the saved sets with what `ckpt.info-<step>`, if it is there, says was saved: a whole set may be gone."""
    checkpoint = assets.rstrip("/")[: -len(".assets")]
    step = _checkpoint_files.step_of_checkpoint(checkpoint)
    path = os.path.join(os.path.dirname(checkpoint), f"ckpt.info-{step}")
    if self._stat is None or not tf.io.gfile.exists(path):
      return
    expected = _proto_files.read_text_proto(path, ckpt_info_pb2.CkptInfo()).feature_counts
    bases = _groups(list(self._by_name))
    saved = [os.path.join(assets, name) for base in bases for name in _saved_names(assets, base)]
    found = _count_entries(session, self._stat, self._stat_basename, saved)
    for table in sorted(found):
      if found[table] < expected.get(table, 0):
        raise ValueError(
          f"{assets} holds {found[table]} entries of table {table!r}, but {path} counts {expected[table]}: files of a "
          f"shard are gone. Bring them back, restore another checkpoint, or delete {path} to go on without them."
        )

  def before_restore(self, session: tf.compat.v1.Session) -> None:
    _table_listeners.run(session, [table.initializer for table in self._by_name.values()])
    super().before_restore(session)


class MultiHashTableRestorerSaverListener(_table_listeners.RestoreAfterSaveListener):
  """Restores the tables right after each save, so that they lose what the save dropped as expired.

  Args:
    ckpt_prefix: path of the checkpoints without step.
  """

  def _tables(self) -> dict[str, Any]:
    return _tables()
