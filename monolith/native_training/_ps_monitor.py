# SPDX-License-Identifier: Apache-2.0
"""Which parameter servers have lost what they held, so that only those are restored."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Tuple

import tensorflow as tf
from tensorflow.python.training import saver as saver_lib

from monolith.native_training import utils

__all__ = ["PsMonitor", "SaverBuilder"]


class PsMonitor:
  """Remembers on each parameter server whether it has been initialized.

  The mark is an element in a queue that lives and dies with the server, not with the session.

  Args:
    ps_num: number of parameter servers.
  """

  def __init__(self, ps_num: int):
    self._sizes: List[tf.Tensor] = []
    self._marks: List[tf.Operation] = []
    for i in range(ps_num):
      with tf.compat.v1.device(utils.ps_device(i)):
        queue = tf.queue.FIFOQueue(1, [tf.int32], shapes=[[]], shared_name=f"ps_monitor_{i}", name=f"ps_monitor_{i}")
        self._sizes.append(queue.size())
        self._marks.append(queue.enqueue(1))

  def is_ps_uninitialized(self, sess: tf.compat.v1.Session, device: str) -> bool:
    """Whether what lives on `device` has to be initialized; always so for what is on no monitored server.

    Args:
      sess: a session that reaches the servers.
      device: its job and task count, the rest does not matter.
    """
    spec = tf.DeviceSpec.from_string(device or "")
    if spec.job != utils.PS_JOB_NAME or spec.task is None or not 0 <= spec.task < len(self._sizes):
      return True
    return int(sess.run(self._sizes[spec.task])) == 0

  def setup_ps_initialized_state(self, sess: tf.compat.v1.Session) -> None:
    """Marks all servers as initialized."""
    for size, mark in zip(self._sizes, self._marks, strict=True):
      if int(sess.run(size)) == 0:
        sess.run(mark)


class SaverBuilder(saver_lib.BulkSaverBuilder):
  """TensorFlow's builder of a sharded saver, which also keeps the restore op of each device."""

  def __init__(self, *args: Any, **kwargs: Any):
    super().__init__(*args, **kwargs)
    self.restore_ops: Dict[str, tf.Operation] = {}
    """{device: op that restores the variables there}"""

  def _AddShardedRestoreOps(  # noqa: N802 (name of the base class)
    self, filename_tensor: tf.Tensor, per_device: Iterable[Tuple[str, Any]], restore_sequentially: bool, reshape: bool
  ) -> tf.Operation:
    for shard, (device, saveables) in enumerate(per_device):
      with tf.compat.v1.device(device):
        self.restore_ops[device] = self._AddRestoreOps(
          filename_tensor, saveables, restore_sequentially, reshape, preferred_shard=shard, name="restore_shard"
        )
    return tf.group(*self.restore_ops.values(), name="restore_all")
