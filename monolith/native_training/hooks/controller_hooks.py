# SPDX-License-Identifier: Apache-2.0
"""Stopping or saving a run by an op, from any process of the job, or by a file in the model's directory."""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Callable, Optional, TypeAlias

import numpy as np
import tensorflow as tf
from absl import logging
from google.protobuf import text_format

from monolith.native_training import _checkpoint_files, barrier_ops, utils
from monolith.native_training.hooks._watching_hook import WatchingHook
from monolith.native_training.hooks.controller_hooks_pb2 import ControllerHooksProto
from monolith.native_training.hooks.server.server_lib import STOP_ACTION

__all__ = ["ACTION_FILE", "ControllerHook", "QueryActionHook", "StopHelper"]

ACTION_FILE = "monolith_action"
RESPONSE_FILE = "monolith_action_response"

_QUERY_SECS = 60.0
_STOP_WAIT_SECS = 30.0
_STOP_POLL_SECS = 0.5

_STOP, _SAVE = 0, 1

_Session: TypeAlias = tf.compat.v1.Session


class ControllerHook(tf.compat.v1.train.SessionRunHook):
  """The chief's hook that does what `stop_op` and `trigger_save_op` ask for, after the step in progress.

  Args:
    num_ps: parameter servers; the requests live on the first, if there is one.
    barrier_op: stops the other workers before the loop ends.
    trigger_save: called as `trigger_save(session)`.
  """

  def __init__(
    self,
    num_ps: int = 0,
    barrier_op: Optional[barrier_ops.BarrierOp] = None,
    trigger_save: Optional[Callable[[_Session], Any]] = None,
  ):
    self._barrier_op = barrier_op
    self._trigger_save = trigger_save
    with tf.compat.v1.device(utils.ps_device(0) if num_ps else None):
      self._requests = tf.compat.v1.Variable(
        np.zeros([2], np.bool_),
        trainable=False,
        collections=[tf.compat.v1.GraphKeys.LOCAL_VARIABLES],
        name="controller_hook/requests",
        use_resource=True,
      )
      self._value = self._requests.read_value()
      self._stop_op = self._request(_STOP, True)
      self._save_op = self._request(_SAVE, True)
      self._save_done = self._request(_SAVE, False)
      self._stop_done = self._request(_STOP, False)

  def _request(self, index: int, value: bool) -> tf.Operation:
    return tf.group(self._requests.scatter_nd_update([[index]], [value]))

  @property
  def stop_op(self) -> tf.Operation:
    """Asks the loop to stop."""
    return self._stop_op

  @property
  def trigger_save_op(self) -> tf.Operation:
    """Asks for a save."""
    return self._save_op

  def after_run(self, run_context, run_values) -> None:
    del run_values
    session = run_context.session
    requests = session.run(self._value)
    if requests[_SAVE]:
      # First: a request that comes during the save is another one.
      session.run(self._save_done)
      if self._trigger_save is not None:
        self._trigger_save(session)
    if requests[_STOP]:
      session.run(self._stop_done)
      self._stop_workers(session)
      run_context.request_stop()

  def _stop_workers(self, session: _Session) -> None:
    if self._barrier_op is None:
      return
    try:
      self._barrier_op.place_barrier(session, STOP_ACTION)
    except barrier_ops.BarrierAlreadyPlacedError as error:
      logging.warning("Stopping although %s", error)
      return
    deadline = time.monotonic() + _STOP_WAIT_SECS
    while not self._barrier_op.is_all_blocked(session) and time.monotonic() < deadline:
      time.sleep(_STOP_POLL_SECS)
    self._barrier_op.remove_barrier(session)


class StopHelper:
  """Lets a worker stop when it meets a Stop barrier."""

  def __init__(self) -> None:
    self._should_stop = False

  def create_barrier_callback(self) -> Callable[[str, _Session], None]:
    """The callback for the worker's `BarrierOp`."""

    def callback(action: str, session: _Session) -> None:
      del session
      self._should_stop = self._should_stop or action == STOP_ACTION

    return callback

  def create_stop_hook(self) -> tf.compat.v1.train.SessionRunHook:
    """The hook, to be installed after the worker's `BarrierHook`."""
    return _StopHook(self)

  @property
  def should_stop(self) -> bool:
    """Whether the worker met one."""
    return self._should_stop


class _StopHook(tf.compat.v1.train.SessionRunHook):
  def __init__(self, helper: StopHelper):
    self._helper = helper

  def after_run(self, run_context, run_values) -> None:
    del run_values
    if self._helper.should_stop:
      run_context.request_stop()


class QueryActionHook(WatchingHook):
  """Does what an operator writes into `<model_dir>/monolith_action`: a text ControllerHooksProto, such as
  `action: TRIGGER_SAVE`. The file is then removed, and `monolith_action_response` says what came of it.

  Args:
    model_dir: directory of the file.
    hook: the `ControllerHook` that carries the action out.
    query_secs: how often to look.
  """

  def __init__(self, model_dir: str, hook: ControllerHook, query_secs: float = _QUERY_SECS):
    super().__init__()
    self._path = os.path.join(model_dir, ACTION_FILE)
    self._response = os.path.join(model_dir, RESPONSE_FILE)
    self._hook = hook
    self._query_secs = query_secs

  def watch(self, session: _Session, coord: Optional[tf.train.Coordinator], stopping: threading.Event) -> None:
    while not stopping.wait(self._query_secs) and not (coord is not None and coord.should_stop()):
      try:
        self.query(session)
      except (tf.errors.OpError, RuntimeError) as error:
        logging.warning("Could not act on %s: %s", self._path, error)

  def query(self, session: _Session) -> None:
    """Looks for the file once, and acts on it."""
    if not tf.io.gfile.exists(self._path):
      return
    with tf.io.gfile.GFile(self._path) as file:
      content = file.read()
    answer = self._act(session, content)
    tf.io.gfile.remove(self._path)
    _checkpoint_files.atomic_write_text(self._response, answer)

  def _act(self, session: _Session, content: str) -> str:
    try:
      action = text_format.Parse(content, ControllerHooksProto()).action
    except text_format.ParseError as error:
      return f"not understood: {error}\n"
    ops = {ControllerHooksProto.TRIGGER_SAVE: self._hook.trigger_save_op, ControllerHooksProto.STOP: self._hook.stop_op}
    name = ControllerHooksProto.Action.Name(action)
    if action not in ops:
      return f"no such action: {name}\n"
    session.run(ops[action])
    return f"accepted: {name}\n"
