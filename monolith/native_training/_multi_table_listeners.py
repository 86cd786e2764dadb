# SPDX-License-Identifier: Apache-2.0
"""Saves and restores a graph's multi hash tables with its checkpoints.

Tables are written before the dense variables, and the state file `checkpoint`, written last, is what makes the whole a
checkpoint: a kill in between leaves files that nobody reads.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Optional

from monolith.native_training import _checkpoint_files
from monolith.native_training import basic_restore_hook
from monolith.native_training.proto import ckpt_info_pb2

import tensorflow as tf
from absl import logging
from google.protobuf import text_format

_GRAPH_KEY = "monolith_multi_hash_tables"
_TIMEOUT_IN_MS = 3600000
_FILE = re.compile(r"(.*)-\d{5}-of-\d{5}$")


def _run(session: tf.compat.v1.Session, fetches: Any, feed_dict: Optional[dict] = None) -> Any:
  options = tf.compat.v1.RunOptions(timeout_in_ms=_TIMEOUT_IN_MS)
  return session.run(fetches, feed_dict=feed_dict, options=options)


def _tables() -> list[Any]:
  return tf.compat.v1.get_collection(_GRAPH_KEY)


class MultiHashTableCheckpointSaverListener(tf.compat.v1.train.CheckpointSaverListener):
  """Writes the tables into `<basename>-<step>.assets/` before each checkpoint.

  Args:
    basename: path of the checkpoints without step, such as `<model_dir>/model.ckpt`.
    write_ckpt_info: also write `ckpt.info-<step>`, with the number of entries of each table.
  """

  def __init__(self, basename: str, write_ckpt_info: bool = True):
    super().__init__()
    self._helper = _checkpoint_files.SaveHelper(basename)
    self._model_dir = os.path.dirname(basename)
    self._write_ckpt_info = write_ckpt_info
    self._feeds: dict[str, tf.Tensor] = {}
    self._save_op: Optional[tf.Operation] = None

  def begin(self) -> None:
    saves = []
    for table in _tables():
      self._feeds[table.shared_name] = tf.compat.v1.placeholder(tf.string, [])
      with tf.compat.v1.device(table.handle.device):
        saves.append(table.save(self._feeds[table.shared_name]).as_op())
    self._save_op = tf.group(*saves)
    self._stat_basename = tf.compat.v1.placeholder(tf.string, [])
    self._stat = _tables()[0].feature_stat(self._stat_basename) if saves else None

  def before_save(self, sess: tf.compat.v1.Session, global_step_value: int) -> None:
    if not self._feeds:
      return
    assets = self._helper.get_ckpt_asset_dir(self._helper.get_ckpt_prefix(global_step_value))
    tf.io.gfile.makedirs(assets)
    paths = {name: os.path.join(assets, name) for name in self._feeds}
    _run(sess, self._save_op, {self._feeds[name]: path for name, path in paths.items()})
    if self._write_ckpt_info:
      self._write_info(sess, global_step_value, list(paths.values()))

  def _write_info(self, sess: tf.compat.v1.Session, step: int, paths: list[str]) -> None:
    counts: dict[str, int] = defaultdict(int)
    for path in paths:
      for name, count in zip(*_run(sess, self._stat, {self._stat_basename: path}), strict=True):
        counts[name.decode()] += int(count)
    info = ckpt_info_pb2.CkptInfo(feature_counts=counts)
    _checkpoint_files.atomic_write_text(
      os.path.join(self._model_dir, f"ckpt.info-{step}"), text_format.MessageToString(info)
    )


def _saved_names(assets: str, base: str) -> list[str]:
  """Names of the saved sets that belong to tables `<base>`, `<base>0`, `<base>1`, ..., sorted by number."""
  pattern = re.compile(re.escape(base) + r"\d*$")
  names = {match.group(1) for match in map(_FILE.match, tf.io.gfile.listdir(assets)) if match}
  return sorted((n for n in names if pattern.match(n)), key=lambda n: (len(n), n))


def _groups(shared_names: list[str]) -> dict[str, list[str]]:
  """Names of shards of one table: base name -> its shards in order."""
  groups: dict[str, list[str]] = defaultdict(list)
  for name in shared_names:
    groups[re.sub(r"\d+$", "", name)].append(name)
  return {base: sorted(names, key=lambda n: (len(n), n)) for base, names in groups.items()}


def _shards(tables: list[Any]) -> Iterator[tuple[int, int, Any]]:
  """(shard_index, num_shards, table) of all tables."""
  by_name = {table.shared_name: table for table in tables}
  for names in _groups(list(by_name)).values():
    for index, name in enumerate(names):
      yield index, len(names), by_name[name]


def plan_restore(assets: str, shared_names: list[str]) -> dict[str, tuple[list[str], int, int]]:
  """Decides what each table of a graph reads: name -> (basenames, shard_index, num_shards).

  As many saved sets as there are shards: each shard reads its own. Another number: every shard reads every set and
  keeps the fids that are its own.

  Raises:
    ValueError: nothing was saved for a table.
  """
  plan = {}
  for base, names in _groups(shared_names).items():
    saved = _saved_names(assets, base)
    if not saved:
      raise ValueError(
        f"{assets} holds nothing of multi hash table {names[0]!r}; restore from a checkpoint that was saved with it."
      )
    for index, name in enumerate(names):
      if len(saved) == len(names) and (name in saved or len(names) == 1):
        own = name if name in saved else saved[0]
        plan[name] = ([os.path.join(assets, own)], 0, 1)
      else:
        plan[name] = ([os.path.join(assets, s) for s in saved], index, len(names))
  return plan


class MultiHashTableCheckpointRestorerListener(basic_restore_hook.CheckpointRestorerListener):
  """Restores the tables from the checkpoint that the dense variables are restored from.

  Args:
    basename: path of the checkpoints without step.
    ps_monitor: if given, only tables on devices that it reports uninitialised are restored.
  """

  def __init__(self, basename: str, ps_monitor: Any = None):
    super().__init__()
    self._model_dir = os.path.dirname(basename)
    self._ps_monitor = ps_monitor
    self._tables: list[Any] = []
    self._basenames: dict[str, tf.Tensor] = {}
    # A table's restore ops by (shard_index, num_shards): of its own set as it is, and of its share of all sets.
    self._restores: dict[str, dict[tuple[int, int], tf.Operation]] = defaultdict(dict)

  def begin(self) -> None:
    self._tables = list(_tables())
    self._plan()  # says before anything runs what cannot be restored
    for index, num_shards, table in _shards(self._tables):
      self._basenames[table.shared_name] = tf.compat.v1.placeholder(tf.string, [None])
      for shard in {(0, 1), (index, num_shards)}:
        with tf.compat.v1.device(table.handle.device):
          restored = table.restore(self._basenames[table.shared_name], *shard)
        self._restores[table.shared_name][shard] = restored.as_op()

  def _plan(self) -> dict[str, tuple[list[str], int, int]]:
    """What each table is to read of the checkpoint that holds now; empty without one."""
    prefix = _checkpoint_files.checkpoint_to_restore(self._model_dir)
    if prefix is None or not self._tables:
      return {}
    assets = _checkpoint_files.SaveHelper.get_ckpt_asset_dir(prefix)
    if not tf.io.gfile.isdir(assets):
      raise ValueError(
        f"the checkpoint {prefix} has no tables: {assets} does not exist; restore a checkpoint that was saved "
        "with its tables."
      )
    return plan_restore(assets, [table.shared_name for table in self._tables])

  def before_restore(self, session: tf.compat.v1.Session) -> None:
    _run(session, [table.initializer for table in self._tables])
    with session.graph.as_default():
      plan = self._plan()
    restores, feeds = [], {}
    for table in self._tables if plan else ():
      device = table.handle.device
      if self._ps_monitor is None or self._ps_monitor.is_ps_uninitialized(session, device):
        basenames, index, num_shards = plan[table.shared_name]
        feeds[self._basenames[table.shared_name]] = basenames
        restores.append(self._restores[table.shared_name][index, num_shards])
    if restores:
      logging.info("Restoring %d multi hash tables: %s.", len(restores), plan)
      _run(session, restores, feeds)


class MultiHashTableRestorerSaverListener(tf.compat.v1.train.CheckpointSaverListener):
  """Restores the tables right after each save, so that they lose what the save dropped as expired.

  Args:
    ckpt_prefix: path of the checkpoints without step.
  """

  def __init__(self, ckpt_prefix: str):
    super().__init__()
    self._helper = _checkpoint_files.SaveHelper(ckpt_prefix)
    self._feeds: dict[str, tf.Tensor] = {}
    self._restore_op: Optional[tf.Operation] = None

  def begin(self) -> None:
    restores = []
    for table in _tables():
      self._feeds[table.shared_name] = tf.compat.v1.placeholder(tf.string, [])
      with tf.compat.v1.device(table.handle.device):
        restores.append(table.restore(self._feeds[table.shared_name]).as_op())
    self._restore_op = tf.group(*restores)

  def after_save(self, sess: tf.compat.v1.Session, global_step_value: int) -> None:
    assets = self._helper.get_ckpt_asset_dir(self._helper.get_ckpt_prefix(global_step_value))
    feeds = {feed: os.path.join(assets, name) for name, feed in self._feeds.items()}
    if feeds:
      _run(sess, self._restore_op, feeds)
