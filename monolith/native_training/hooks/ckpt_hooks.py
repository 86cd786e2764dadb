# SPDX-License-Identifier: Apache-2.0
"""What surrounds a save: stopping the other workers, and keeping where each worker's input was.

The chief publishes the step and places the Save barrier; each worker then writes the state of its input iterators to
`<model_dir>/input_worker_<index>.ckpt-<step>`, waits, and goes on when the save is done. A restart continues the input
where the checkpoint left it. Iterators run ahead of training by what datasets and prefetch queues buffer: that many
batches are left out after a restart, none is trained twice.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, List, Optional, TypeAlias

import tensorflow as tf
from absl import logging
from tensorflow.python.data.ops import iterator_ops

from monolith.native_training import _checkpoint_files, barrier_ops, graph_meta
from monolith.native_training.data._record_dataset import iterator_checkpoints_disabled
from monolith.native_training.hooks.ckpt_hooks_pb2 import WorkerCkptInfo

__all__ = [
  "SAVE_ACTION",
  "BarrierSaverListener",
  "WorkerCkptHelper",
  "assign_ckpt_info",
  "disable_iterator_save_restore",
  "get_ckpt_info",
  "has_other_position",
  "mark_input_ended",
]

SAVE_ACTION = "Save"

_ENDED_ATTRIBUTE = "_monolith_input_ended"
_DISABLED_ATTRIBUTE = "_monolith_no_iterator_save"
_USED_ATTRIBUTE = "_monolith_iterator_save_used"

_Session: TypeAlias = tf.compat.v1.Session


class _CkptInfoVariable:
  """A string that all processes share: the WorkerCkptInfo of the save in progress."""

  def __init__(self, is_chief: bool):
    keys = tf.compat.v1.GraphKeys
    self.variable = tf.compat.v1.Variable(
      "",
      trainable=False,
      collections=[keys.LOCAL_VARIABLES if is_chief else keys.GLOBAL_VARIABLES],
      name="WorkerCkptMetaInfo",
      use_resource=True,
    )
    self.value = tf.compat.v1.placeholder(tf.string, [])
    self.assign = self.variable.assign(self.value, read_value=False)


def _ckpt_info_variable(is_chief: bool = True) -> _CkptInfoVariable:
  return graph_meta.get_meta("worker_ckpt_info", lambda: _CkptInfoVariable(is_chief))


def assign_ckpt_info(sess: _Session, info: WorkerCkptInfo) -> None:
  """Publishes `info` to all workers. A `BarrierSaverListener` or `WorkerCkptHelper` of the graph must exist."""
  with sess.graph.as_default():
    shared = _ckpt_info_variable()
  sess.run(shared.assign, {shared.value: info.SerializeToString()})


def get_ckpt_info(sess: _Session) -> WorkerCkptInfo:
  """What was published last; an empty message before."""
  with sess.graph.as_default():
    shared = _ckpt_info_variable()
  return WorkerCkptInfo.FromString(sess.run(shared.variable))


class BarrierSaverListener(tf.compat.v1.train.CheckpointSaverListener):
  """Stops the other workers while the chief saves. Belongs to the saver hook's guards.

  Args:
    barrier_op: the workers' barrier.
    wait_seconds: how often to look whether all workers wait.
    max_pending_seconds: how long to wait for them; the save then goes on without those that still run.
  """

  def __init__(self, barrier_op: barrier_ops.BarrierOp, wait_seconds: float = 1, max_pending_seconds: float = 30):
    self._barrier_op = barrier_op
    self._wait_seconds = wait_seconds
    self._max_pending_seconds = max_pending_seconds
    self._placed = False
    _ckpt_info_variable()

  def before_save(self, session: _Session, global_step_value: int) -> None:
    assign_ckpt_info(session, WorkerCkptInfo(global_step=int(global_step_value)))
    try:
      self._barrier_op.place_barrier(session, SAVE_ACTION)
      self._placed = True
    except barrier_ops.BarrierAlreadyPlacedError as error:
      # Somebody holds the workers anyway, and will let them go.
      logging.info("Saving step %d while %s", global_step_value, error)
    deadline = time.monotonic() + self._max_pending_seconds
    while not self._barrier_op.is_all_blocked(session):
      if time.monotonic() >= deadline:
        running = self._barrier_op.get_unblocked_indices(session)
        logging.warning("Saving step %d while workers %s still run.", global_step_value, running)
        return
      time.sleep(self._wait_seconds)

  def after_save(self, session: _Session, global_step_value: int) -> None:
    del global_step_value
    if self._placed:
      self._placed = False
      self._barrier_op.remove_barrier(session)


def disable_iterator_save_restore() -> None:
  """Leaves the iterators of the default graph out of saves and restores. Call it before any other use.

  Raises:
    ValueError: a `WorkerCkptHelper` of the graph has made its ops already.
  """
  graph = tf.compat.v1.get_default_graph()
  if getattr(graph, _USED_ATTRIBUTE, False):
    raise ValueError("disable_iterator_save_restore comes too late: this graph's iterators are being saved already.")
  setattr(graph, _DISABLED_ATTRIBUTE, True)


def mark_input_ended() -> None:
  """Says that the input of the default graph's loop is used up, so that its position is worth nothing."""
  setattr(tf.compat.v1.get_default_graph(), _ENDED_ATTRIBUTE, True)


class WorkerCkptHelper:
  """Saves and restores the input iterators of one worker.

  Args:
    model_dir: directory of the checkpoints.
    index: of this worker.
    needs_checkpoint: restore nothing where there is no checkpoint of the model that the input's position belongs to.
    iterator_name: how saved iterators are called. A position holds elements that were read ahead, so inputs whose
      elements are made otherwise have another name.
  """

  def __init__(self, model_dir: str, index: int, needs_checkpoint: bool = False, iterator_name: str = "iterator"):
    self._iterator_name = iterator_name
    self._index = index
    self._model_dir = model_dir
    self._needs_checkpoint = needs_checkpoint
    self._basename = f"input_worker_{index}.ckpt"
    self._state_file = _state_file(index)
    self._saver: Optional[tf.compat.v1.train.Saver] = None
    _ckpt_info_variable(is_chief=index == 0)

  def create_save_iterator_callback(self) -> Callable[[str, _Session], None]:
    """A barrier callback that saves at Save barriers. Iterators that cannot be saved are left alone, with a log."""

    def callback(action: str, session: _Session) -> None:
      if action == SAVE_ACTION:
        with session.graph.as_default():
          self._save(session)

    return callback

  def create_restorer_hook(self) -> tf.compat.v1.train.SessionRunHook:
    """A hook that restores the iterators of a new session. It must run after the iterators' initializers."""
    return _IteratorRestorerHook(self)

  def build(self) -> None:
    """Makes the ops, while the graph can be changed: for all iterators that are there by then."""
    graph = tf.compat.v1.get_default_graph()
    iterators = graph.get_collection(iterator_ops.GLOBAL_ITERATORS)
    disabled = getattr(graph, _DISABLED_ATTRIBUTE, False) or iterator_checkpoints_disabled(graph)
    if self._saver is not None or disabled or not iterators:
      return
    setattr(graph, _USED_ATTRIBUTE, True)
    # Fail: a position of a data set that calls Python, say, would mean nothing in another process.
    saveables = [
      iterator_ops._IteratorSaveable(
        iterator, f"{self._iterator_name}_{i}", tf.data.experimental.ExternalStatePolicy.FAIL
      )
      for i, iterator in enumerate(iterators)
    ]
    with tf.compat.v1.name_scope("save_iterators"):
      self._saver = tf.compat.v1.train.Saver(saveables, save_relative_paths=True)

  def _save(self, session: _Session) -> None:
    self._build_unless_final()
    if self._saver is None:
      return
    if getattr(session.graph, _ENDED_ATTRIBUTE, False):
      return
    step = get_ckpt_info(session).global_step
    path = os.path.join(self._model_dir, self._basename)
    try:
      self._saver.save(
        session, path, global_step=step, latest_filename=self._state_file, write_meta_graph=False, write_state=True
      )
    except (tf.errors.UnimplementedError, tf.errors.FailedPreconditionError) as error:
      logging.log_first_n(
        logging.WARNING, "The input's position is not saved, since its data set cannot be: %s", 1, error.message
      )

  def _build_unless_final(self) -> None:
    if self._saver is None and not tf.compat.v1.get_default_graph().finalized:
      self.build()

  def forget(self) -> None:
    """Lets the next run start the input from its beginning."""
    path = os.path.join(self._model_dir, self._state_file)
    if tf.io.gfile.exists(path):
      tf.io.gfile.remove(path)

  def restore(self, session: _Session, initializers: List[Any]) -> bool:
    """Restores what belongs to the model's checkpoint: the newest state that is not newer than it.

    Args:
      session: the new session.
      initializers: ops that set the iterators back to the beginning, for when their state does not fit the input.

    Returns:
      Whether the input goes on from an earlier position.
    """
    self._build_unless_final()
    path = None if self._saver is None else _path_to_restore(self._model_dir, self._index, self._needs_checkpoint)
    if self._saver is None or path is None:
      return False
    try:
      self._saver.restore(session, path)
      return True
    except (tf.errors.OpError, ValueError) as error:
      logging.warning("The input has changed since %s was saved; it starts from its beginning. (%s)", path, error)
      session.run(initializers)
      return False


def _state_file(index: int) -> str:
  return f"checkpoint_input_worker_{index}"


def _path_to_restore(model_dir: str, index: int, needs_checkpoint: bool) -> Optional[str]:
  state = tf.train.get_checkpoint_state(model_dir, latest_filename=_state_file(index))
  if state is None:
    return None
  model = _checkpoint_files.checkpoint_to_restore(model_dir)
  paths = [p for p in state.all_model_checkpoint_paths if tf.io.gfile.exists(p + ".index")]
  if model is None and needs_checkpoint:
    return None
  if model is not None:
    # An input state newer than the model belongs to a save that was never completed.
    newest = _checkpoint_files.step_of_checkpoint(model)
    paths = [p for p in paths if _checkpoint_files.step_of_checkpoint(p) <= newest]
  return paths[-1] if paths else None


def has_other_position(model_dir: str, index: int, iterator_name: str) -> bool:
  """Whether the input's position that a run would go on from was saved under another name of iterators."""
  path = _path_to_restore(model_dir, index, needs_checkpoint=True)
  if path is None:
    return False
  return not any(name.startswith(f"{iterator_name}_") for name, _ in tf.train.list_variables(path))


class _IteratorRestorerHook(tf.compat.v1.train.SessionRunHook):
  def __init__(self, helper: WorkerCkptHelper):
    self._helper = helper
    self._initializers: List[Any] = []
    self._restored = False
    self._steps = 0

  def begin(self) -> None:
    self._helper.build()
    graph = tf.compat.v1.get_default_graph()
    self._initializers = [op for op in graph.get_operations() if op.type == "MakeIterator"]

  def after_create_session(self, session, coord) -> None:
    del coord
    with session.graph.as_default():
      self._restored = self._helper.restore(session, self._initializers)

  def after_run(self, run_context, run_values) -> None:
    del run_context, run_values
    self._steps += 1

  def end(self, session) -> None:
    if not getattr(session.graph, _ENDED_ATTRIBUTE, False):
      return
    self._helper.forget()
    if self._restored and not self._steps:
      logging.warning(
        "An earlier run had used the input up, so this one trained no step; the next one starts it afresh."
      )
