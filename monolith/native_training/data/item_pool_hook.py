# SPDX-License-Identifier: Apache-2.0
"""Saves and restores the pool of items with the checkpoints of a run."""

from __future__ import annotations

import os
import re
from typing import Any, Optional

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.data._item_pool import POOL_KEY, restore_item_pool, save_item_pool

__all__ = ["ItemPoolSaveRestoreHook"]


class ItemPoolSaveRestoreHook(tf.compat.v1.train.SessionRunHook):
  """Keeps the first item pool of the graph with the checkpoints.

  After the session is made, the pool is read from the directory of the latest checkpoint, at its step. In training it
  is saved every so many steps, and at the end if there was a step since. Without a pool in the graph the hook does
  nothing.

  Args:
    model_dir: directory of the checkpoints.
    save_steps: steps between two saves; None or 0: only at the end.
    mode: `train` saves and restores, `infer` does neither, anything else restores.
  """

  def __init__(self, model_dir: str, save_steps: Optional[int], mode: str = "train"):
    self._model_dir = model_dir
    self._save_steps = save_steps or 0
    self._mode = mode
    self._save: Optional[tf.Operation] = None
    self._restore: Optional[tf.Operation] = None
    self._restore_step = 0
    self._saved_step = 0

  def begin(self) -> None:
    pools = tf.compat.v1.get_collection(POOL_KEY)
    if not pools:
      return
    self._global_step = tf.compat.v1.train.get_or_create_global_step()
    self._step = tf.compat.v1.placeholder(tf.int64, [], "item_pool_step")
    self._save = save_item_pool(pools[0], self._step, self._model_dir).op
    checkpoint = tf.train.latest_checkpoint(self._model_dir)
    found = re.search(r"-(\d+)$", checkpoint or "")
    if checkpoint and found and self._mode != "infer":
      self._restore_step = int(found.group(1))
      self._restore = restore_item_pool(pools[0], self._step, os.path.dirname(checkpoint)).op

  def after_create_session(self, session: tf.compat.v1.Session, coord: Any) -> None:
    del coord
    if self._save is None:
      return
    if self._restore is not None:
      session.run(self._restore, {self._step: self._restore_step})
    self._saved_step = session.run(self._global_step)

  def before_run(self, run_context: Any) -> Optional[tf.compat.v1.train.SessionRunArgs]:
    del run_context
    return None if self._save is None else tf.compat.v1.train.SessionRunArgs(self._global_step)

  def after_run(self, run_context: Any, run_values: Any) -> None:
    if self._save is None or self._mode != "train" or self._save_steps <= 0:
      return
    # The step was read while it was counted up: it may be this one or the one before.
    if run_values.results + 1 > self._saved_step + self._save_steps:
      step = run_context.session.run(self._global_step)
      if step > self._saved_step + self._save_steps:
        self._save_at(run_context.session, step)

  def end(self, session: tf.compat.v1.Session) -> None:
    if self._save is None or self._mode != "train":
      return
    step = session.run(self._global_step)
    if step != self._saved_step:
      self._save_at(session, step)

  def _save_at(self, session: tf.compat.v1.Session, step: int) -> None:
    session.run(self._save, {self._step: step})
    self._saved_step = step
