# SPDX-License-Identifier: Apache-2.0
"""Layer losses, and layers built from Params."""

import gc
import weakref

import pytest

from monolith.core import base_layer, base_task, hyperparams

import tensorflow as tf  # isort: skip


def test_losses_add_up_by_name_within_a_graph():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tensors = [tf.constant(v) for v in (1.0, 2.0, 4.0)]
    for name, tensor in zip("aab", tensors, strict=True):
      base_layer.add_layer_loss(name, tensor)
    assert session.run(base_layer.get_layer_loss()) == {"a": 3.0, "b": 4.0}
    assert [id(t) for t in base_layer.get_layer_loss_tensors()] == [id(t) for t in tensors]
    with tf.Graph().as_default():
      assert base_layer.get_layer_loss() == {}
    base_layer.clear_layer_losses()
    assert base_layer.get_layer_loss() == {}


def test_losses_do_not_keep_their_graph():
  graph = tf.Graph()
  with graph.as_default():
    base_layer.add_layer_loss("a", tf.constant(1.0))
  reference = weakref.ref(graph)
  del graph
  gc.collect()
  assert reference() is None


def test_first_name_stays():
  assert base_layer.get_uname("MLP") == "MLP"


class _Doubling(base_layer.BaseLayer):
  def fprop(self, x):
    return 2 * x


class _Stack(base_layer.BaseLayer):
  def __init__(self, params):
    super().__init__(params)
    self.create_child("first", _Doubling.params())
    self.create_children("rest", [_Doubling.params(), _Doubling.params()])

  def fprop(self, x):
    for layer in [self.first, *self.rest]:
      x = layer(x)
    return x


def _stack():
  p = _Stack.params()
  p.name = "stack"
  return p.instantiate()


def test_children_are_attributes():
  stack = _stack()
  assert stack(1) == 8
  assert stack.children.first is stack.first
  assert [c.p.name for c in stack.rest] == ["rest_0", "rest_1"] and stack.first.p.name == "first"


def test_unknown_child_is_said():
  with pytest.raises(AttributeError, match=r"^nothing is not a sub-layer of stack\.$"):
    _stack().nothing  # noqa: B018


def test_name_is_required():
  with pytest.raises(ValueError, match="_Doubling: params.name is empty"):
    _Doubling.params().instantiate()


def test_fprop_must_be_defined():
  p = base_layer.BaseLayer.params()
  p.name = "bare"
  with pytest.raises(NotImplementedError, match="BaseLayer does not define fprop"):
    p.instantiate()(1)


def test_task_params():
  p = base_task.BaseTask.params()
  assert (p.name, p.accelerator, p.train.repeat, p.train.label_key, p.eval.steps_per_eval) == (
    "",
    None,
    False,
    "label",
    10000,
  )
  unset = [
    "input.eval_examples", "input.train_examples", "eval.per_replica_batch_size", "eval.steps", "train.steps",
    "train.max_steps",
    "train.per_replica_batch_size", "train.file_pattern", "train.save_checkpoints_steps", "train.save_checkpoints_secs",
    "train.dense_only_save_checkpoints_secs", "train.dense_only_save_checkpoints_steps",
  ]  # fmt: skip
  assert all(p.get(name) is None for name in unset)
  assert isinstance(p, hyperparams.InstantiableParams)


def test_task_is_abstract():
  p = base_task.BaseTask.params()
  p.name = "task"
  with pytest.raises(TypeError, match="create_input_fn"):
    p.instantiate()
