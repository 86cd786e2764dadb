# SPDX-License-Identifier: Apache-2.0
"""What holds a training loop between two steps: the barrier, its remote control, and the input's position."""

from __future__ import annotations

from typing import Any, Tuple, TypeAlias

import tensorflow as tf

from monolith.native_training import barrier_ops
from monolith.native_training._training_config import CpuTrainingConfig
from monolith.native_training.hooks import ckpt_hooks
from monolith.native_training.hooks._step_gate import StepGate
from monolith.native_training.hooks.restart_limit_hook import RestartLimitHook
from monolith.native_training.hooks.server import server_lib

__all__ = ["ControlHooks"]

_PARTIAL_RECOVERIES = 6

_Hook: TypeAlias = tf.compat.v1.train.SessionRunHook
_Listener: TypeAlias = tf.compat.v1.train.CheckpointSaverListener


class ControlHooks:
  """The barrier of one training graph, with everything that stands around it.

  In the loop's list of hooks those of `first` come first and `last` last.

  Args:
    config: the job's settings.
    task: its task.
    model_dir: directory of the checkpoints.
    iterator_name: how saved iterators of the input are called.
  """

  def __init__(self, config: CpuTrainingConfig, task: Any, model_dir: str, iterator_name: str):
    self._model_dir = model_dir
    self._index = config.index
    iterators = ckpt_hooks.WorkerCkptHelper(model_dir, config.index, needs_checkpoint=True, iterator_name=iterator_name)
    self.barrier_op = barrier_ops.BarrierOp(
      config.num_workers,
      is_chief=config.index == 0,
      barrier_callbacks=[iterators.create_save_iterator_callback()],
    )
    self.guards: Tuple[_Listener, ...] = (
      ckpt_hooks.BarrierSaverListener(
        self.barrier_op, max_pending_seconds=task.p.train.max_pending_seconds_for_barrier
      ),
    )
    gate = StepGate()
    self._gate = gate
    limit = RestartLimitHook(model_dir, _max_restarts(config), servers_live_on=config.num_ps > 0)
    self.first: Tuple[_Hook, ...] = (limit, gate.first)
    self.last: _Hook = gate.last
    # Not after the prefetching hooks, whose threads read the input at once.
    self.worker_hooks: Tuple[_Hook, ...] = (
      barrier_ops.BarrierHook(config.index, self.barrier_op),
      iterators.create_restorer_hook(),
    )

  def server_hook(self, saver_hook: Any) -> _Hook:
    """The hook that serves the controller."""
    return server_lib.ServerHook(self._model_dir, self.barrier_op, saver_hook, self._gate)


def _max_restarts(config: CpuTrainingConfig) -> int:
  # A job of several processes says how often; otherwise only a job that recovers its servers goes on.
  return getattr(config, "max_retry_times", 0) or (_PARTIAL_RECOVERIES if config.partial_recovery else 0)
