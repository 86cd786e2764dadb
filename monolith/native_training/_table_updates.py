# SPDX-License-Identifier: Apache-2.0
"""How a step's gradients reach the tables: now, or one step later."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Union

import tensorflow as tf

from monolith.native_training.prefetch_queue import AsyncFunctionMgr

__all__ = ["TableUpdates"]


class TableUpdates:
  """Runs updates of tables.

  Args:
    async_function_mgr: runs the update.
    postpush: run it one step later.
    req_time: the batch's time, int64 seconds, or None.
  """

  def __init__(self, async_function_mgr: AsyncFunctionMgr, postpush: bool, req_time: Optional[tf.Tensor]):
    self._async_function_mgr = async_function_mgr
    self._postpush = postpush
    self._req_time = req_time

  def run(
    self,
    update: Callable[[Any, Dict[str, tf.Tensor], tf.Tensor, Optional[tf.Tensor]], tf.Operation],
    fids: Any,
    grads: Dict[str, tf.Tensor],
    scale: Union[int, float, tf.Tensor] = 1,
    req_time: Optional[tf.Tensor] = None,
  ) -> tf.Operation:
    """Calls `update(fids, scaled gradients, global step, time)`; returns its op, or the op that queues it."""
    if not (isinstance(scale, (int, float)) and scale == 1):
      grads = {name: grad * scale for name, grad in grads.items()}
    global_step = tf.identity(tf.compat.v1.train.get_or_create_global_step())
    return self._async_function_mgr.add_async_function(
      update,
      args=(fids, grads, global_step, self._req_time if req_time is None else req_time),
      is_async=self._postpush,
      queue_name="postpush_queue",
    )
