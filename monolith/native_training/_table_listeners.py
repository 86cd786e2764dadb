# SPDX-License-Identifier: Apache-2.0
"""What listeners that save and restore tables share.

Tables are written before the dense variables, and the state file `checkpoint`, written last, is what makes the whole a
checkpoint: a kill in between leaves files that nobody reads.
"""

from __future__ import annotations

import abc
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, NamedTuple, Optional

from monolith.native_training import _checkpoint_files
from monolith.native_training import basic_restore_hook

import tensorflow as tf
from absl import logging

TIMEOUT_IN_MS = 3600000
_FILE = re.compile(r"(.*)-\d{5}-of-\d{5}$")


class Source(NamedTuple):
  """What one table reads: saved sets by path, and which shard it keeps of them."""

  basenames: list[str]
  shard_index: int
  num_shards: int


def run(session: tf.compat.v1.Session, fetches: Any, feed_dict: Optional[dict] = None) -> Any:
  """Runs ops that may take as long as writing all tables does."""
  options = tf.compat.v1.RunOptions(timeout_in_ms=TIMEOUT_IN_MS)
  return session.run(fetches, feed_dict=feed_dict, options=options)


def saved_names(path_prefix: str) -> set[str]:
  """Names, after `path_prefix`, of everything that was saved in shard files under it."""
  directory, start = os.path.split(path_prefix)
  if not tf.io.gfile.isdir(directory or "."):
    return set()
  matches = filter(None, map(_FILE.match, tf.io.gfile.listdir(directory or ".")))
  return {match.group(1)[len(start) :] for match in matches if match.group(1).startswith(start)}


class TableOps:
  """An op for each of several tables, all of which run together, each with a path of its own.

  Args:
    tables: file name -> table.
    make_op: (table, its path, a string scalar) -> the updated table.
  """

  def __init__(self, tables: Mapping[str, Any], make_op: Callable[[Any, tf.Tensor], Any]):
    self._feeds: dict[str, tf.Tensor] = {}
    ops = []
    for name, table in tables.items():
      self._feeds[name] = tf.compat.v1.placeholder(tf.string, [])
      with tf.compat.v1.device(table.handle.device):
        ops.append(make_op(table, self._feeds[name]).handle.op)
    self._op = tf.group(*ops)

  def __bool__(self) -> bool:
    return bool(self._feeds)

  def run(self, session: tf.compat.v1.Session, directory: str) -> list[str]:
    """Runs the ops with `<directory>/<file name>`; returns those paths."""
    paths = {feed: os.path.join(directory, name) for name, feed in self._feeds.items()}
    run(session, self._op, paths)
    return list(paths.values())


class TableSaverListener(tf.compat.v1.train.CheckpointSaverListener, abc.ABC):
  """Writes tables into `<basename>-<step>.assets/` before each checkpoint."""

  def __init__(self, basename: str):
    super().__init__()
    self._helper = _checkpoint_files.SaveHelper(basename)
    self._saves: Optional[TableOps] = None

  @abc.abstractmethod
  def _make_saves(self) -> TableOps:
    """Ops that save the tables of the default graph."""

  def begin(self) -> None:
    self._saves = self._make_saves()

  def before_save(self, sess: tf.compat.v1.Session, global_step_value: int) -> None:
    if not self._saves:
      return
    assets = self._helper.get_ckpt_asset_dir(self._helper.get_ckpt_prefix(global_step_value))
    tf.io.gfile.makedirs(assets)
    self._saved(sess, global_step_value, self._saves.run(sess, assets))

  def _saved(self, session: tf.compat.v1.Session, step: int, paths: list[str]) -> None:
    """Called after the tables were written to `paths`."""


class RestoreAfterSaveListener(tf.compat.v1.train.CheckpointSaverListener, abc.ABC):
  """Restores tables right after each save, so that they lose what the save dropped as expired.

  Args:
    ckpt_prefix: path of the checkpoints without step.
  """

  def __init__(self, ckpt_prefix: str):
    super().__init__()
    self._helper = _checkpoint_files.SaveHelper(ckpt_prefix)
    self._restores: Optional[TableOps] = None

  @abc.abstractmethod
  def _tables(self) -> dict[str, Any]:
    """File name -> table of the default graph."""

  def begin(self) -> None:
    self._restores = TableOps(self._tables(), lambda table, path: table.restore(path))

  def after_save(self, sess: tf.compat.v1.Session, global_step_value: int) -> None:
    assets = self._helper.get_ckpt_asset_dir(self._helper.get_ckpt_prefix(global_step_value))
    if self._restores:
      self._restores.run(sess, assets)


class TableRestorerListener(basic_restore_hook.CheckpointRestorerListener, abc.ABC):
  """Restores tables from the checkpoint that the dense variables are restored from.

  Args:
    basename: path of the checkpoints without step.
    ps_monitor: if given, only tables on devices that it reports uninitialised are restored.
  """

  def __init__(self, basename: str, ps_monitor: Any = None):
    super().__init__()
    self._model_dir = os.path.dirname(basename)
    self._ps_monitor = ps_monitor
    self._by_name: dict[str, Any] = {}
    self._basenames: dict[str, tf.Tensor] = {}
    # A table's restore ops by (shard_index, num_shards): of its own set as it is, and of its share of all sets.
    self._restores: dict[str, dict[tuple[int, int], tf.Operation]] = defaultdict(dict)

  @abc.abstractmethod
  def _tables(self) -> dict[str, Any]:
    """File name -> table of the default graph."""

  @abc.abstractmethod
  def _shards(self) -> Iterator[tuple[int, int, str]]:
    """(shard_index, num_shards, file name) of all tables."""

  @abc.abstractmethod
  def _plan(self, path_prefix: str) -> Mapping[str, Source]:
    """What each table is to read of what was saved under `path_prefix`, by file name."""

  def _without_checkpoint(self) -> Optional[str]:
    """The path prefix of tables to restore where there is no checkpoint; None for none."""
    return None

  def begin(self) -> None:
    self._by_name = self._tables()
    prefix = self._path_prefix()
    if prefix is not None:
      self._plan(prefix)  # says before anything runs what cannot be restored
    for index, num_shards, name in self._shards():
      self._basenames[name] = tf.compat.v1.placeholder(tf.string, [None])
      for shard in {(0, 1), (index, num_shards)}:
        with tf.compat.v1.device(self._by_name[name].handle.device):
          self._restores[name][shard] = self._by_name[name].restore(self._basenames[name], *shard).handle.op

  def _path_prefix(self) -> Optional[str]:
    """What stands before the file names of the tables to restore; None if there is nothing to restore."""
    if not self._by_name:
      return None
    checkpoint = _checkpoint_files.checkpoint_to_restore(self._model_dir)
    if checkpoint is None:
      return self._without_checkpoint()
    assets = _checkpoint_files.SaveHelper.get_ckpt_asset_dir(checkpoint)
    if not tf.io.gfile.isdir(assets):
      raise ValueError(
        f"the checkpoint {checkpoint} has no tables: {assets} does not exist; restore a checkpoint that was saved "
        "with its tables."
      )
    return assets

  def before_restore(self, session: tf.compat.v1.Session) -> None:
    with session.graph.as_default():
      prefix = self._path_prefix()
    if prefix is not None:
      self._restore_from_path_prefix(session, prefix)

  def _restore_from_path_prefix(self, sess: tf.compat.v1.Session, path_prefix: str) -> None:
    """Restores the tables from files whose names follow `path_prefix`, such as a directory with its slash."""
    restores, feeds = [], {}
    plan = self._plan(path_prefix)
    for name in self._uninitialized(sess):
      source = plan[name]
      feeds[self._basenames[name]] = source.basenames
      restores.append(self._restores[name][source.shard_index, source.num_shards])
    if restores:
      logging.info("Restoring %d hash tables: %s.", len(restores), plan)
      run(sess, restores, feeds)

  def _uninitialized(self, session: tf.compat.v1.Session) -> Iterable[str]:
    for name, table in self._by_name.items():
      if self._ps_monitor is None or self._ps_monitor.is_ps_uninitialized(session, table.handle.device):
        yield name
