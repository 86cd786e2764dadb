# SPDX-License-Identifier: Apache-2.0
"""The saver of dense variables, which also prunes the tables of old checkpoints."""

from __future__ import annotations

import os
import time
from typing import Any, Iterable, List, Optional, Set

import tensorflow as tf
from absl import logging

from monolith.native_training import _checkpoint_files, dense_reload_utils
from monolith.native_training._graph_export import serializable_collections
from monolith.native_training._ps_monitor import SaverBuilder

__all__ = ["PartialRecoverySaver"]


class PartialRecoverySaver(tf.compat.v1.train.Saver):
  """A `tf.compat.v1.train.Saver` that knows table assets and checkpoints exempt from pruning.

  Checkpoints named in `<model_dir>/monolith_checkpoint` are never deleted and do not count against `max_to_keep`; the
  file is read again at each save, so an operator may edit it while training runs. Deleting a checkpoint deletes all of
  `<prefix>.*`, the tables in `<prefix>.assets/` included. One checkpoint is deleted per save at most.

  Arguments beyond those of `tf.compat.v1.train.Saver`:
    ps_monitor: a `PsMonitor`; a restore leaves what initialized parameter servers hold as it is. The saver has
      to be sharded, and restores in a graph.
    exempt_checkpoint_paths: exempt checkpoints where `model_dir` has no `monolith_checkpoint`.
    skip_save: `save` does nothing and returns None.
    model_dir: where `monolith_checkpoint` is looked up.

  Raises:
    ValueError: ps_monitor is given to a saver that is not sharded, or an argument of the base class is invalid.
  """

  def __init__(
    self,
    var_list: Any = None,
    reshape: bool = False,
    sharded: bool = False,
    max_to_keep: Optional[int] = 5,
    keep_checkpoint_every_n_hours: float = 10000.0,
    name: Optional[str] = None,
    restore_sequentially: bool = False,
    saver_def: Any = None,
    builder: Any = None,
    defer_build: bool = False,
    allow_empty: bool = False,
    pad_step_number: bool = False,
    save_relative_paths: bool = False,
    filename: Optional[str] = None,
    ps_monitor: Any = None,
    exempt_checkpoint_paths: Optional[Iterable[str]] = None,
    skip_save: bool = False,
    model_dir: Optional[str] = None,
  ):
    if ps_monitor is not None and not sharded:
      raise ValueError("PartialRecoverySaver: ps_monitor tells devices apart, but the saver is not; pass sharded=True.")
    if ps_monitor is not None and builder is None:
      builder = SaverBuilder()
    super().__init__(
      var_list=var_list,
      reshape=reshape,
      sharded=sharded,
      max_to_keep=max_to_keep,
      keep_checkpoint_every_n_hours=keep_checkpoint_every_n_hours,
      name=name,
      restore_sequentially=restore_sequentially,
      saver_def=saver_def,
      builder=builder,
      defer_build=defer_build,
      allow_empty=allow_empty,
      pad_step_number=pad_step_number,
      save_relative_paths=save_relative_paths,
      filename=filename,
    )
    self._exempt_checkpoint_paths = tuple(exempt_checkpoint_paths or ())
    self._skip_save = skip_save
    self._ps_monitor = ps_monitor
    self._model_dir = model_dir

  def save(self, *args: Any, **kwargs: Any) -> Optional[str]:
    if self._skip_save:
      return None
    return super().save(*args, **kwargs)

  def restore(self, sess: Any, save_path: str) -> None:
    """Restores the variables, with a `ps_monitor` those on servers that have lost them.

    What a `CustomRestoreListener` has prepared for `save_path` is done instead.
    """
    custom = None if sess is None else dense_reload_utils.custom_restore(sess.graph)
    if custom is not None and custom.run(sess, save_path):
      return
    ops = self._restores_needed(sess)
    if ops is None:
      super().restore(sess, save_path)
    elif ops:
      sess.run(ops, {self.saver_def.filename_tensor_name: save_path})

  def _restores_needed(self, session: Any) -> Optional[List[tf.Operation]]:
    """The restore ops of the devices that need it; None for all of them."""
    if self._ps_monitor is None or not isinstance(self._builder, SaverBuilder):
      return None
    by_device = self._builder.restore_ops
    lost = [d for d in by_device if self._ps_monitor.is_ps_uninitialized(session, d)]
    if len(lost) == len(by_device):
      return None
    logging.info("Restoring the variables on %s; the other servers still have theirs.", lost or "no device")
    return [by_device[device] for device in lost]

  def recover_last_checkpoints(self, checkpoint_paths: Iterable[str]) -> None:
    """Takes over checkpoints of an earlier run, oldest first; those whose files are gone are left out."""
    found = []
    for path in checkpoint_paths:
      index = path + ".index"
      if tf.io.gfile.exists(index):
        found.append((path, tf.io.gfile.stat(index).mtime_nsec / 1e9))
    self.set_last_checkpoints_with_time(found)

  def export_meta_graph(
    self, filename: Optional[str] = None, collection_list: Optional[List[str]] = None, **kwargs: Any
  ) -> Any:
    """As in the base class, by default with those collections only that a meta graph can hold."""
    if collection_list is None:
      collection_list = serializable_collections(tf.compat.v1.get_default_graph())
    return super().export_meta_graph(filename, collection_list, **kwargs)

  def _exempt_names(self) -> Set[str]:
    paths: Iterable[str] = self._exempt_checkpoint_paths
    if self._model_dir is not None:
      state = _checkpoint_files.get_monolith_checkpoint_state(self._model_dir)
      if state is not None:
        paths = state.exempt_model_checkpoint_paths
    return {os.path.basename(path) for path in paths}

  def _RecordLastCheckpoint(self, latest_save_path: str) -> None:  # noqa: N802 (name of the base class)
    max_to_keep = self.saver_def.max_to_keep
    if not max_to_keep:
      return
    kept = self._last_checkpoints
    kept[:] = [entry for entry in kept if entry[0] != latest_save_path]
    kept.append((latest_save_path, time.time()))
    exempt = self._exempt_names()
    prunable = [entry for entry in kept if os.path.basename(entry[0]) not in exempt]
    if len(prunable) > max_to_keep:
      kept.remove(prunable[0])
      self._checkpoints_to_be_deleted.append(prunable[0])

  def _MaybeDeleteOldCheckpoints(self, meta_graph_suffix: str = "meta") -> None:  # noqa: N802
    del meta_graph_suffix  # Everything below the prefix goes.
    if not self._checkpoints_to_be_deleted:
      return
    path, saved_at = self._checkpoints_to_be_deleted.pop(0)
    if saved_at > self._next_checkpoint_time:
      self._next_checkpoint_time += self.saver_def.keep_checkpoint_every_n_hours * 3600
      return
    try:
      _checkpoint_files.remove_checkpoint_files(path)
    except tf.errors.OpError as error:
      logging.warning("Could not delete the old checkpoint %s: %s", path, error.message)
