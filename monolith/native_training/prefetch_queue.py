# SPDX-License-Identifier: Apache-2.0
"""Overlapping parts of a step: queues filled ahead of it, and functions that run one step later.

`enqueue_dicts_with_queue_return` with its `EnqueueHook` runs what produces tensors in a thread, ahead of the step that
consumes them. `AsyncFunctionMgr` does the opposite: it queues the arguments of a function, whose body then runs
together with the next step. Both change which step sees which update, which is why each has a synchronous setting.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import tensorflow as tf

from monolith.native_training import utils
from monolith.native_training.nested_tensors import NestedTensors

__all__ = [
  "AsyncFunctionMgr",
  "AsyncPushHook",
  "EnqueueHook",
  "enqueue_dicts_with_queue_return",
]

# How long the end of a loop waits for the thread that fills a queue: at most 100 times 10 ms.
_END_ATTEMPTS = 100
_END_WAIT_SECS = 0.01


class _FIFOQueue:
  """A queue of tensor lists; queue and dequeue are built outside of any control flow or control dependency.

  Args:
    dense_list: the tensors of one element.
    capacity: elements it holds.
    queue_name: name of the ops.
    after: bool scalars, true, that there must be before an element is taken out.

  Raises:
    ValueError: dense_list is None or empty.
    TypeError: it is not a list.
  """

  def __init__(
    self,
    dense_list: List[tf.Tensor],
    capacity: int = 2,
    queue_name: str = "prefetch_queue",
    after: Sequence[tf.Tensor] = (),
  ):
    if dense_list is None:
      raise ValueError(f"queue {queue_name!r}: dense_list is None; give the tensors to queue.")
    if not isinstance(dense_list, list):
      raise TypeError(f"queue {queue_name!r}: dense_list is {type(dense_list).__name__}, not a list.")
    if not dense_list:
      raise ValueError(f"queue {queue_name!r}: dense_list is empty; there is nothing to queue.")
    self._shapes = [tensor.shape for tensor in dense_list]
    with tf.init_scope():
      self._queue = tf.queue.FIFOQueue(
        capacity=capacity, dtypes=[tensor.dtype for tensor in dense_list], name=queue_name
      )
      self.size_op = self._queue.size()
      self.close_op = self._queue.close()
      self.cancel_op = self._queue.close(cancel_pending_enqueues=True)
      # Feeding a tensor takes away the edges that carry its value and no others, and optimizers keep those of Assert.
      with tf.control_dependencies([tf.raw_ops.Assert(condition=gate, data=[gate]) for gate in after]):
        dequeued = self._queue.dequeue()
      self.discard_op = tf.group(dequeued)
    self._dequeued = dequeued if isinstance(dequeued, list) else [dequeued]
    for tensor, shape in zip(self._dequeued, self._shapes, strict=True):
      tensor.set_shape(shape)
    self.enqueue_op = self._queue.enqueue(dense_list)

  def dequeue(self) -> List[tf.Tensor]:
    """The tensors of the next element. Every call gives the same tensors: one element a step."""
    return self._dequeued


class EnqueueHook(tf.compat.v1.train.SessionRunHook):
  """Fills a queue from a daemon thread, from the creation of a session until it ends.

  At the end of the input the queue is closed: the loop still consumes what it holds, then ends. An error in the thread
  ends the loop with that error.
  """

  def __init__(self, queue: _FIFOQueue):
    self._queue = queue
    self._stopping = threading.Event()
    self._filler = threading.Thread(target=self._fill, daemon=True)

  def after_create_session(self, session, coord) -> None:
    self._stopping.clear()
    self._filler = threading.Thread(target=self._fill, args=(session, coord), daemon=True)
    canceller = threading.Thread(target=self._cancel_on_stop, args=(session, coord), daemon=True)
    for thread in (self._filler, canceller):
      coord.register_thread(thread)
      thread.start()

  def end(self, session) -> None:
    """Lets the thread finish what it is at; an input that blocks is left to the canceller."""
    self._stopping.set()
    for _ in range(_END_ATTEMPTS):
      if not self._filler.is_alive():
        return
      if session.run(self._queue.size_op) > 0:
        session.run(self._queue.discard_op)
      self._filler.join(_END_WAIT_SECS)

  def _fill(self, session: tf.compat.v1.Session, coord: tf.train.Coordinator) -> None:
    try:
      while not (coord.should_stop() or self._stopping.is_set()):
        session.run(self._queue.enqueue_op)
    except tf.errors.OutOfRangeError:
      self._run_quietly(session, self._queue.close_op)
    except tf.errors.CancelledError:
      pass  # The loop has stopped and cancelled the queue.
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
      # After a stop this is only the session being closed. Before, the coordinator raises it in the main thread.
      if not coord.should_stop():
        coord.request_stop(error)

  def _cancel_on_stop(self, session: tf.compat.v1.Session, coord: tf.train.Coordinator) -> None:
    coord.wait_for_stop()
    # The filler may hang in a full queue and the loop in an empty one; closing the queue frees both.
    if self._filler.is_alive() or not self._stopping.is_set():
      self._run_quietly(session, self._queue.cancel_op)

  @staticmethod
  def _run_quietly(session: tf.compat.v1.Session, op: tf.Operation) -> None:
    try:
      session.run(op)
    except (tf.errors.CancelledError, RuntimeError):
      pass  # The session is closed already, and the queue with it.


def enqueue_dicts_with_queue_return(
  tensors: Any, capacity: int = 1, queue_name: str = "prefetch_queue"
) -> Tuple[Any, Optional[_FIFOQueue]]:
  """Sends a nested structure of tensors through a queue.

  Args:
    tensors: lists, tuples and dicts of dense and ragged tensors.
    capacity: elements that may be prepared ahead; 0 means no queue.
    queue_name: name of the queue's ops.

  Returns:
    The same structure of dequeued tensors, and the queue, to be filled by an `EnqueueHook`. With capacity 0 the
    structure itself and None.

  Raises:
    ValueError: capacity is negative, or a leaf cannot be queued.
  """
  if capacity < 0:
    raise ValueError(f"queue {queue_name!r}: capacity is {capacity}; it must be >= 0 (0: no queue).")
  if capacity == 0:
    return tensors, None
  nested = NestedTensors(tensors)
  queue = _FIFOQueue(nested.get_tensors(), capacity=capacity, queue_name=queue_name)
  return nested.get_nested_result(queue.dequeue()), queue


class AsyncPushHook(tf.compat.v1.train.SessionRunHook):
  """Runs the bodies of queued calls: one step after the call, and what is left at the end.

  Args:
    queue: holds the arguments of at most one call.
    ops: the body, built on the dequeued arguments.
    gate: what the body waits for in a step, and need not wait for outside of one.
  """

  def __init__(self, queue: _FIFOQueue, ops: Any, gate: Optional[tf.Tensor] = None):
    self._queue = queue
    self._ops = ops
    self._gate = gate
    self._primed = False

  def after_create_session(self, session, coord) -> None:
    del session, coord
    self._primed = False

  def before_run(self, run_context):
    del run_context
    return tf.compat.v1.train.SessionRunArgs(self._ops) if self._primed else None

  def after_run(self, run_context, run_values) -> None:
    del run_values
    if not self._primed:
      self._primed = run_context.session.run(self._queue.size_op) > 0

  def flush(self, session: tf.compat.v1.Session) -> None:
    """Runs the bodies of all queued calls now, as before a checkpoint."""
    while session.run(self._queue.size_op) > 0:
      session.run(self._ops, feed_dict={} if self._gate is None else {self._gate: True})
    # The next step queues a call again; its body must not run before the step after.
    self._primed = False

  def end(self, session) -> None:
    self.flush(session)


class AsyncFunctionMgr:
  """Calls functions in the step, or queues their arguments and runs their bodies with the next step.

  Args:
    is_async: the default for `add_async_function`.
  """

  def __init__(self, is_async: bool = True):
    self._is_async = is_async
    self._hooks: List[AsyncPushHook] = []
    self._gate: Optional[tf.Tensor] = None

  def start_after(self, tensor: tf.Tensor) -> None:
    """Lets the bodies of functions that are added from now on start once a step has `tensor`, part of its input.

    A step that finds the input at its end fails, and must not have taken the arguments of a body that fails with it.
    """
    with tf.control_dependencies([tensor]):
      self._gate = tf.compat.v1.placeholder_with_default(tf.identity(True), [], name="input_is_there")

  @property
  def hooks(self) -> List[AsyncPushHook]:
    """Hooks that the loop must run."""
    return list(self._hooks)

  def flush(self, session: tf.compat.v1.Session) -> None:
    """Runs the bodies of all queued calls now, in the order in which the functions were added."""
    for hook in self._hooks:
      hook.flush(session)

  def add_async_function(
    self,
    target: Callable[..., Any],
    args: Optional[Sequence[Any]] = None,
    kwargs: Optional[Dict[str, Any]] = None,
    is_async: Optional[bool] = None,
    queue_name: str = "async_queue",
  ) -> Any:
    """Calls `target(*args, **kwargs)`, now or one step later.

    Args:
      target: builds the body; uses no tensors but its arguments.
      args, kwargs: its arguments; tensors in them are queued, variables are passed on.
      is_async: overrides the manager's default.
      queue_name: name of the queue's ops.

    Returns:
      What `target` returns, or the op that queues its arguments. k steps then run k-1 bodies; the end runs the last.

    Raises:
      ValueError: the queueing op would depend on the body.
    """
    args, kwargs = tuple(args or ()), dict(kwargs or {})
    if not (self._is_async if is_async is None else is_async):
      return target(*args, **kwargs)
    nested = NestedTensors((args, kwargs))
    # The constant keeps the element non-empty when no argument is a tensor.
    gate = self._gate
    queue = _FIFOQueue([*nested.get_tensors(), tf.constant(0)], 1, queue_name, after=() if gate is None else (gate,))
    with tf.init_scope():
      queued_args, queued_kwargs = nested.get_nested_result(queue.dequeue()[:-1])
      # Without a tensor argument nothing else would make the body wait for its turn.
      with tf.control_dependencies(queue.dequeue()[-1:]):
        body = tf.group(target(*queued_args, **queued_kwargs))
    utils.check_ops_dependence(queue.enqueue_op.name, body.name)
    self._hooks.append(AsyncPushHook(queue, body, gate))
    return queue.enqueue_op
