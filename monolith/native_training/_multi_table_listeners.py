# SPDX-License-Identifier: Apache-2.0
"""Saves and restores a graph's multi hash tables with its checkpoints.

Tables are written before the dense variables, and the state file `checkpoint`, written last, is what makes the whole a
checkpoint: a kill in between leaves files that nobody reads.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
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


def plan_restore(assets: str, shared_names: list[str]) -> dict[str, tuple[list[str], int, int]]:
  """Decides what each table of a graph reads: name -> (basenames, shard_index, num_shards).

  As many saved sets as there are shards: each shard reads its own. Another number: every shard reads every set and
  keeps the fids that are its own.

  Raises:
    ValueError: nothing was saved for a table.
  """
  groups: dict[str, list[str]] = defaultdict(list)
  for name in shared_names:
    groups[re.sub(r"\d+$", "", name)].append(name)
  plan = {}
  for base, names in groups.items():
    names.sort(key=lambda n: (len(n), n))
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
    self._prefix: Optional[str] = None
    self._initializers: list[tf.Operation] = []
    self._restores: dict[str, list[tf.Operation]] = defaultdict(list)

  def begin(self) -> None:
    self._initializers = [table.initializer for table in _tables()]
    self._prefix = _checkpoint_files.checkpoint_to_restore(self._model_dir)
    if self._prefix is None or not _tables():
      return
    assets = _checkpoint_files.SaveHelper.get_ckpt_asset_dir(self._prefix)
    if not tf.io.gfile.isdir(assets):
      raise ValueError(
        f"the checkpoint {self._prefix} has no tables: {assets} does not exist; restore a checkpoint that was saved "
        "with its tables."
      )
    plan = plan_restore(assets, [table.shared_name for table in _tables()])
    for table in _tables():
      basenames, index, num_shards = plan[table.shared_name]
      with tf.compat.v1.device(table.handle.device):
        restore = table.restore(tf.constant(basenames), index, num_shards)
      self._restores[table.handle.device].append(restore.as_op())

  def before_restore(self, session: tf.compat.v1.Session) -> None:
    _run(session, self._initializers)
    if not self._restores:
      return
    restores = []
    for device, ops in self._restores.items():
      if self._ps_monitor is None or self._ps_monitor.is_ps_uninitialized(session, device):
        restores.extend(ops)
    logging.info("Restoring %d multi hash tables from %s.", len(restores), self._prefix)
    _run(session, restores)


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
