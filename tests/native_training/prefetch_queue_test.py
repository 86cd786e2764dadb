# SPDX-License-Identifier: Apache-2.0
"""Tests of queues ahead of a step and of functions that run one step later."""

from __future__ import annotations

import numpy as np
import pytest

from monolith.native_training import prefetch_queue
from monolith.native_training.nested_tensors import NestedTensors

import tensorflow as tf  # isort: skip


@pytest.fixture(autouse=True)
def _graph():
  with tf.Graph().as_default():
    tf.compat.v1.get_variable_scope().set_use_resource(True)
    tf.compat.v1.train.get_or_create_global_step()
    yield


def _run(fetch, hooks, steps=None):
  values = []
  with tf.compat.v1.train.SingularMonitoredSession(hooks=hooks) as session:
    while not session.should_stop() and (steps is None or len(values) < steps):
      values.append(session.run(fetch))
  return values


def _counter():
  return tf.compat.v1.get_variable("x", [], tf.int32, initializer=tf.compat.v1.zeros_initializer())


class TestEnqueue:
  def test_everything_arrives_in_order_and_the_end_is_clean(self):
    tensors = tf.compat.v1.data.make_one_shot_iterator(tf.data.Dataset.range(20)).get_next()
    dequeued, queue = prefetch_queue.enqueue_dicts_with_queue_return({"a": tensors}, capacity=4)
    values = _run(dequeued["a"], [prefetch_queue.EnqueueHook(queue)])
    assert values == list(range(20))

  def test_capacity_zero_is_the_structure_itself(self):
    tensors = {"a": tf.constant(1)}
    result, queue = prefetch_queue.enqueue_dicts_with_queue_return(tensors, capacity=0)
    assert result is tensors and queue is None
    with pytest.raises(ValueError, match="capacity is -1"):
      prefetch_queue.enqueue_dicts_with_queue_return(tensors, capacity=-1)

  def test_structure_and_static_shapes_survive(self):
    ragged = tf.ragged.constant([[1, 2], [3]], dtype=tf.int64)
    nested = ({"d": tf.ones([2, 3])}, [ragged, None], "kept")
    result, queue = prefetch_queue.enqueue_dicts_with_queue_return(nested)
    assert result[0]["d"].shape == [2, 3] and result[2] == "kept" and result[1][1] is None
    fetches = (result[0]["d"], result[1][0])
    (first,) = _run(fetches, [prefetch_queue.EnqueueHook(queue)], steps=1)
    np.testing.assert_array_equal(first[0], np.ones([2, 3]))
    assert first[1].to_list() == [[1, 2], [3]]

  def test_stopping_early_leaves_no_thread_hanging(self):
    dequeued, queue = prefetch_queue.enqueue_dicts_with_queue_return({"a": tf.constant(1)})
    hook = prefetch_queue.EnqueueHook(queue)
    assert len(_run(dequeued["a"], [hook], steps=3)) == 3
    assert not hook._filler.is_alive()

  def test_an_error_while_producing_ends_the_loop_with_it(self):
    bad = tf.debugging.check_numerics(tf.constant(np.nan), "produced a NaN")
    dequeued, queue = prefetch_queue.enqueue_dicts_with_queue_return({"a": bad})
    with pytest.raises(tf.errors.InvalidArgumentError, match="produced a NaN"):
      _run(dequeued["a"], [prefetch_queue.EnqueueHook(queue)], steps=3)

  def test_caller_mistakes(self):
    with pytest.raises(ValueError, match="dense_list is None"):
      prefetch_queue._FIFOQueue(None)
    with pytest.raises(TypeError, match="dense_list is tuple"):
      prefetch_queue._FIFOQueue((tf.constant(1),))
    with pytest.raises(ValueError, match="dense_list is empty"):
      prefetch_queue._FIFOQueue([])


class TestAsyncFunctions:
  @pytest.mark.parametrize("is_async, during", [(True, 1), (False, 2)])
  def test_body_runs_one_step_later_and_the_end_runs_the_last(self, is_async, during):
    manager = prefetch_queue.AsyncFunctionMgr(is_async=is_async)
    x = _counter()
    op = manager.add_async_function(lambda amount: x.assign_add(amount), (tf.constant(1),))
    with tf.compat.v1.train.SingularMonitoredSession(hooks=manager.hooks) as session:
      for _ in range(2):
        session.run(op)
      assert session.raw_session().run(x) == during
      raw = session.raw_session()
      for hook in manager.hooks:
        hook.flush(raw)
      assert raw.run(x) == 2

  def test_arguments_are_those_of_the_call(self):
    manager = prefetch_queue.AsyncFunctionMgr()
    x, log = _counter(), tf.compat.v1.get_variable("log", [8], tf.int32, tf.compat.v1.zeros_initializer())
    step = tf.identity(x)
    with tf.control_dependencies([step]):
      advance = x.assign_add(1)

    def body(amount):
      return tf.compat.v1.scatter_nd_update(log, [[amount]], [amount + 10])

    op = manager.add_async_function(body, kwargs={"amount": step})
    with tf.compat.v1.train.SingularMonitoredSession(hooks=manager.hooks) as session:
      for _ in range(3):
        session.run([op, advance])
      raw = session.raw_session()
      manager.flush(raw)
      np.testing.assert_array_equal(raw.run(log)[:3], [10, 11, 12])

  def test_flush_between_steps_loses_and_repeats_nothing(self):
    manager = prefetch_queue.AsyncFunctionMgr()
    x = _counter()
    op = manager.add_async_function(lambda: x.assign_add(1))
    with tf.compat.v1.train.SingularMonitoredSession(hooks=manager.hooks) as session:
      raw = session.raw_session()
      for i in range(1, 6):
        session.run(op)
        if i % 2:
          manager.flush(raw)
          assert raw.run(x) == i
      manager.flush(raw)
      assert raw.run(x) == 5

  def test_a_step_without_input_leaves_the_call_to_the_flush(self):
    manager = prefetch_queue.AsyncFunctionMgr()
    x = _counter()
    batch = tf.compat.v1.data.make_one_shot_iterator(tf.data.Dataset.range(2)).get_next()
    manager.start_after(batch)
    op = manager.add_async_function(lambda amount: x.assign_add(amount), (tf.cast(batch, tf.int32) + 1,))
    (hook,) = manager.hooks
    with tf.compat.v1.train.SingularMonitoredSession(hooks=manager.hooks) as session:
      raw = session.raw_session()
      session.run(op)
      session.run(op)
      with pytest.raises(tf.errors.OutOfRangeError):
        raw.run([op, hook._ops])
      assert raw.run([x, hook._queue.size_op]) == [1, 1]
      manager.flush(raw)
      assert raw.run(x) == 3

  def test_default_can_be_overridden(self):
    manager = prefetch_queue.AsyncFunctionMgr(is_async=True)
    assert manager.add_async_function(lambda: "called", is_async=False) == "called"
    assert manager.hooks == []


class TestNestedTensors:
  def test_dense_first_then_ragged(self):
    ragged = tf.ragged.constant([[1], []], dtype=tf.int64)
    nested = NestedTensors([ragged, (tf.constant(2), {"k": tf.constant(3)})])
    tensors = nested.get_tensors()
    assert [t.dtype for t in tensors] == [tf.int32, tf.int32, tf.int64, tf.int64]
    rebuilt = nested.get_nested_result(tensors)
    assert isinstance(rebuilt[0], tf.RaggedTensor) and rebuilt[1][1]["k"] is tensors[1]
    with pytest.raises(ValueError, match="1 tensors given, 4 needed"):
      nested.get_nested_result(tensors[:1])

  def test_structures_without_tensors(self):
    nested = {"a": {"b": 2}, "c": None, "d": "s", "e": True}
    assert NestedTensors(nested).get_tensors() == []
    assert NestedTensors(nested).get_nested_result([]) == nested

  def test_indexed_slices_survive(self):
    slices = tf.IndexedSlices(tf.ones([1, 2]), tf.constant([3]), tf.constant([5, 2]))
    nested = NestedTensors({"g": slices})
    rebuilt = nested.get_nested_result(nested.get_tensors())["g"]
    assert isinstance(rebuilt, tf.IndexedSlices)

  def test_bad_leaves_are_named(self):
    deep = tf.ragged.constant([[[1]]], dtype=tf.int64)
    with pytest.raises(ValueError, match="ragged_rank 2"):
      NestedTensors(deep)
    with pytest.raises(ValueError, match="is ndarray"):
      NestedTensors([np.ones(1)])
