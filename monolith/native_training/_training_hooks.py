# SPDX-License-Identifier: Apache-2.0
"""Hooks and savers that CpuTraining adds to a model: restore, checkpoint, export."""

from __future__ import annotations

import os
from typing import Any, Callable, List, Optional, Sequence, TypeAlias

import tensorflow as tf

from monolith.native_training import (
  barrier_ops,
  basic_restore_hook,
  dense_reload_utils,
  hash_filter_ops,
  hash_table_ops,
  multi_hash_table_ops,
  save_utils,
)
from monolith.native_training._sparse_step import Filters
from monolith.native_training._training_config import CpuTrainingConfig
from monolith.native_training.hooks import profiler_hook, ps_check_hooks
from monolith.native_training.prefetch_queue import AsyncFunctionMgr

__all__ = [
  "CHECKPOINT_BASENAME",
  "dense_only_saver_hook",
  "full_saver",
  "full_saver_hook",
  "ps_monitor",
  "restore_hook",
]

CHECKPOINT_BASENAME = "model.ckpt"

# Without a period a checkpoint is written only when training ends.
_NEVER_STEPS = 100_000_000
# Beyond checkpoints_max_to_keep one checkpoint a day stays for good.
_KEEP_EVERY_N_HOURS = 24

_Hook: TypeAlias = tf.compat.v1.train.SessionRunHook
_Listener: TypeAlias = tf.compat.v1.train.CheckpointSaverListener

ExportListenerMaker = Callable[[str, bool], _Listener]


class _AsyncFlushListener(_Listener):
  """Applies queued gradients before a save, so that the checkpoint holds what its step says."""

  def __init__(self, async_function_mgr: AsyncFunctionMgr):
    self._async_function_mgr = async_function_mgr

  def before_save(self, session, global_step_value: int) -> None:
    del global_step_value
    self._async_function_mgr.flush(session)


class _MarkInitializedListener(basic_restore_hook.CheckpointRestorerListener):
  """Marks all servers once variables and tables are in place, restored or new."""

  def __init__(self, ps_monitor: save_utils.PsMonitor):
    self._ps_monitor = ps_monitor

  def after_restore(self, session) -> None:
    self._ps_monitor.setup_ps_initialized_state(session)


def ps_monitor(config: CpuTrainingConfig) -> Optional[save_utils.PsMonitor]:
  """The monitor of the job's parameter servers, if a restart is to restore only those that were lost."""
  return save_utils.PsMonitor(config.num_ps) if config.partial_recovery and config.num_ps > 1 else None


def custom_restore_listener(config: CpuTrainingConfig, model_dir: str) -> basic_restore_hook.CheckpointRestorerListener:
  """Restores dense variables that start afresh or had other names, as `config` says."""
  return dense_reload_utils.CustomRestoreListener(
    alias_map=config.reload_alias_map,
    clear_nn=config.clear_nn,
    continue_training=config.continue_training,
    model_dir=model_dir,
    enable_alias_map_auto_gen=config.enable_alias_map_auto_gen,
  )


def restore_hook(
  model_dir: str,
  filters: Optional[Filters] = None,
  monitor: Optional[save_utils.PsMonitor] = None,
  more_listeners: Sequence[basic_restore_hook.CheckpointRestorerListener] = (),
) -> _Hook:
  """Restores the tables from the checkpoint of the dense variables, before any other hook sees the session.

  Args:
    model_dir: directory of the checkpoints.
    filters: occurrence filters to restore too, for a graph that trains.
    monitor: tells which servers still have their tables. Filters are always restored.
    more_listeners: called after those of tables and filters.
  """
  basename = os.path.join(model_dir, CHECKPOINT_BASENAME)
  listeners: List[basic_restore_hook.CheckpointRestorerListener] = [
    multi_hash_table_ops.MultiHashTableCheckpointRestorerListener(basename, monitor),
    hash_table_ops.HashTableCheckpointRestorerListener(basename, monitor),
  ]
  if filters is not None:
    listeners.append(
      hash_filter_ops.HashFilterCheckpointRestorerListener(basename, filters.handles, filters.keep_counts)
    )
  listeners.extend(more_listeners)
  if monitor is not None:
    listeners.append(_MarkInitializedListener(monitor))
  return basic_restore_hook.CheckpointRestorerHook(listeners=listeners)


def full_saver(
  config: CpuTrainingConfig, model_dir: str, monitor: Optional[save_utils.PsMonitor] = None
) -> save_utils.PartialRecoverySaver:
  """The saver of all dense variables."""
  return save_utils.PartialRecoverySaver(
    sharded=True,
    max_to_keep=config.checkpoints_max_to_keep,
    keep_checkpoint_every_n_hours=_KEEP_EVERY_N_HOURS,
    defer_build=True,
    save_relative_paths=True,
    ps_monitor=monitor,
    model_dir=model_dir,
  )


def profiler_hooks(config: CpuTrainingConfig, model_dir: str) -> List[_Hook]:
  """The hook that profiles steps, if `config` asks for one."""
  if config.profile_some_steps_from is None:
    return []
  every = config.profile_save_steps_interval
  return [profiler_hook.ProfileStepsHook(model_dir, config.profile_some_steps_from, every_n_steps=every)]


def health_hooks(config: CpuTrainingConfig, barrier_op: barrier_ops.BarrierOp) -> List[_Hook]:
  """The hook that watches the memory of parameter servers, if there are any."""
  if not config.num_ps:
    return []
  return [ps_check_hooks.PsHealthCheckerHook(ps_check_hooks.Config(barrier_op, config.num_ps))]


def full_saver_hook(
  config: CpuTrainingConfig,
  task: Any,
  model_dir: str,
  scaffold: tf.compat.v1.train.Scaffold,
  filters: Filters,
  async_function_mgr: AsyncFunctionMgr,
  make_export_listener: ExportListenerMaker,
  guards: Sequence[_Listener] = (),
) -> save_utils.NoFirstSaveCheckpointSaverHook:
  """Writes tables, occurrence filters and dense variables.

  Args:
    config: the job's settings.
    task: its task, for the periods in `params.train`.
    model_dir: directory of the checkpoints.
    scaffold: holds the saver.
    filters: occurrence filters, whose counts are written with the tables.
    async_function_mgr: holds updates that are still queued.
    make_export_listener: (path of the checkpoints, dense_only) -> the listener that exports after a save.
    guards: surround the save and its second attempt.
  """
  basename = os.path.join(model_dir, CHECKPOINT_BASENAME)
  listeners: List[_Listener] = [
    _AsyncFlushListener(async_function_mgr),
    multi_hash_table_ops.MultiHashTableCheckpointSaverListener(basename),
    hash_table_ops.HashTableCheckpointSaverListener(basename),
    hash_filter_ops.HashFilterCheckpointSaverListener(basename, filters.handles, filters.keep_counts),
  ]
  if task.p.serving.export_when_saving:
    listeners.append(make_export_listener(basename, False))
  if config.feature_eviction_on_save:
    listeners.append(multi_hash_table_ops.MultiHashTableRestorerSaverListener(basename))
    listeners.append(hash_table_ops.HashTableRestorerSaverListener(basename))
  secs, steps = config.save_checkpoints_secs, config.save_checkpoints_steps
  if secs is None and steps is None:
    secs, steps = task.p.train.save_checkpoints_secs, task.p.train.save_checkpoints_steps
  if secs is not None and steps is not None:
    raise ValueError(
      f"params.train.save_checkpoints_secs={secs} and save_checkpoints_steps={steps} are both given; give one."
    )
  return save_utils.NoFirstSaveCheckpointSaverHook(
    model_dir,
    save_secs=secs,
    save_steps=_NEVER_STEPS if secs is None and steps is None else steps,
    scaffold=scaffold,
    listeners=listeners,
    tide_start_hour=config.tide_start_hour,
    tide_start_minute=config.tide_start_minute,
    tide_end_hour=config.tide_end_hour,
    tide_end_minute=config.tide_end_minute,
    tide_save_secs=config.tide_save_secs,
    use_native_multi_hash_table=config.use_native_multi_hash_table is not False,
    guard_saver_listeners=guards,
  )


def dense_only_saver_hook(
  config: CpuTrainingConfig,
  task: Any,
  model_dir: str,
  make_export_listener: ExportListenerMaker,
  guards: Sequence[_Listener] = (),
) -> Optional[_Hook]:
  """Writes dense variables alone into `<model_dir>/dense_only`, or None when no period asks for it.

  The guards stop the workers meanwhile, if `config.dense_only_stop_training_when_save` asks for that.
  """
  secs = config.dense_only_save_checkpoints_secs
  steps = config.dense_only_save_checkpoints_steps
  if secs is None and steps is None:
    secs = task.p.train.dense_only_save_checkpoints_secs
    steps = task.p.train.dense_only_save_checkpoints_steps
  if secs is None and steps is None:
    return None
  directory = os.path.join(model_dir, "dense_only")
  listeners: List[_Listener] = []
  if task.p.serving.export_when_saving:
    listeners.append(make_export_listener(os.path.join(directory, CHECKPOINT_BASENAME), True))
  saver = full_saver(config, directory)
  # The loop's saver comes from the scaffold; this one must not be met as a second one in the collection.
  saver.build()
  return save_utils.NoFirstSaveCheckpointSaverHook(
    directory,
    save_secs=secs,
    save_steps=steps,
    saver=saver,
    listeners=listeners,
    save_graph_def=False,
    is_dense_only=True,
    use_native_multi_hash_table=config.use_native_multi_hash_table is not False,
    guard_saver_listeners=guards if config.dense_only_stop_training_when_save else (),
  )
