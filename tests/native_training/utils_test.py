# SPDX-License-Identifier: Apache-2.0
"""Tests of the training runtime's small helpers."""

from __future__ import annotations

import numpy as np
import pytest
from absl import flags

from monolith.native_training import _flags, device_utils, distribution_utils, native_task_context, utils
from monolith.native_training._streaming_auc import streaming_auc

import tensorflow as tf  # isort: skip


@pytest.fixture(autouse=True)
def _graph():
  with tf.Graph().as_default():
    yield


class TestPropagateBack:
  def test_chain_rule(self):
    x = tf.constant(8.0)
    y = 2.0 * x
    (grad,) = utils.propagate_back_gradients([(3.0 * y, y)], [x])
    by_key = utils.propagate_back_dict_gradients([(3.0 * y, y)], {x.ref(): "key"}, [y])
    with tf.compat.v1.Session() as session:
      assert session.run(grad) == 96.0
      assert session.run(by_key["key"][0]) == (96.0, 8.0)

  def test_foreign_variables_are_refused(self):
    x = tf.constant(1.0)
    with pytest.raises(RuntimeError, match="none of the tensors that the lookup handed out"):
      utils.propagate_back_gradients([(x, x)], [x], valid_var_set=[tf.constant(2.0)])

  def test_nothing_to_propagate(self):
    x, z = tf.constant(1.0), tf.constant(1.0)
    assert utils.propagate_back_gradients([], [x]) == [None]
    assert utils.propagate_back_dict_gradients([(x, x)], {z.ref(): "z"}) == {}


def test_dependence_of_ops():
  a = tf.constant(1.0, name="a")
  b = tf.identity(a, name="b")
  with tf.control_dependencies([b]):
    c = tf.constant(2.0, name="c")
  utils.check_ops_dependence(a.op.name, c.op.name)
  with pytest.raises(ValueError, match=r"c depends on \['a'\]"):
    utils.check_ops_dependence(c.op.name, a.op.name)
  with pytest.raises(ValueError, match="no op 'd'"):
    utils.check_ops_dependence("d", "a")


def test_names_and_lists():
  assert utils.ps_device(3) == "/job:ps/task:3/device:CPU:0"
  assert utils.to_snake_case("MonolithModel") == "monolith_model"
  assert utils.to_snake_case("_Model") == "private__model"
  assert utils.to_list((1, 2)) == [1, 2] and utils.to_list(3) == [3]
  assert utils.extend_as_list([1], 3) == [1, None, None]
  assert utils.extend_as_list("x", 2) == ["x", "x"]
  assert utils.get_ndim(tf.ones([2, 3])) == 2
  assert utils.int_shape(tf.compat.v1.placeholder(tf.float32, [None, 3])) == (-1, 3)
  assert utils.int_shape(tf.compat.v1.placeholder(tf.float32)) is None
  assert utils.get_debugging_info_file_name("d") == "d/debugging_info.pb"
  assert utils.get_meta_graph_file_name("d") == "d/meta_graph_for_debugging.pb"


def test_check_list():
  assert utils.check_list([1], lambda n: n == 1) == [1]
  assert utils.check_list(None, lambda n: True, could_be_none=True) is None
  with pytest.raises(TypeError, match="cannot accept None"):
    utils.check_list(None, lambda n: True)
  with pytest.raises(TypeError, match=r"wrong type\[<class 'int'>\]"):
    utils.check_list(3, lambda n: True)
  with pytest.raises(ValueError, match="beyonds the range"):
    utils.check_list([1], lambda n: n == 2)


def test_collections():
  utils.add_to_collections("names", [])
  assert utils.get_collection("names") is None
  utils.add_to_collections("names", 0)
  utils.add_to_collections("names", ["a"])
  assert utils.get_collection("names") == [0, ["a"]]


def test_metric_prefix(monkeypatch):
  monkeypatch.delenv("MONOLITH_METRIC_PREFIX", raising=False)
  assert utils.get_metric_prefix() == "monolith.training"
  monkeypatch.setenv("MONOLITH_METRIC_PREFIX", "before")
  utils.set_metric_prefix("after")
  assert utils.get_metric_prefix() == "after"


def test_flags_are_read_without_being_parsed():
  values = flags.FlagValues()
  flags.DEFINE_integer("unit_test_flag", 3, "A flag.", flag_values=values)
  original, flags.FLAGS = flags.FLAGS, values
  try:
    assert _flags.flag_value("unit_test_flag", 5) == 3 and not _flags.is_flag_set("unit_test_flag")
    assert _flags.flag_value("missing", 5) == 5 and not _flags.is_flag_set("missing")
    values["unit_test_flag"].value = 7
    values["unit_test_flag"].using_default_value = False
    assert _flags.flag_value("unit_test_flag", 5) == 7 and _flags.is_flag_set("unit_test_flag")
  finally:
    flags.FLAGS = original


class TestTaskContext:
  def test_default(self, monkeypatch):
    monkeypatch.setattr(native_task_context, "_CTX", None)
    assert native_task_context.get() == (0, 0, 1, 0, "", None, "")

  def test_contexts_nest_and_the_last_one_stays(self, monkeypatch):
    monkeypatch.setattr(native_task_context, "_CTX", None)
    outer = native_task_context.get()._replace(model_name="outer")
    inner = outer._replace(model_name="inner")
    with native_task_context.with_ctx(outer):
      with native_task_context.with_ctx(inner):
        assert native_task_context.get() is inner
      assert native_task_context.get() is outer
    assert native_task_context.get() is outer


class TestDevices:
  @pytest.mark.parametrize("local_rank, per_gpu, gpu", [(2, 1, "2"), (1, 2, "0"), (2, 2, "1"), (3, 2, "1")])
  def test_visible_gpus(self, local_rank, per_gpu, gpu):
    assert device_utils.get_visible_gpus(local_rank, per_gpu) == gpu
    with pytest.raises(ValueError, match="processes_per_gpu is 0"):
      device_utils.get_visible_gpus(0, 0)

  def test_default_device_fn(self):
    with tf.compat.v1.device(device_utils.default_device_fn):
      assert tf.constant(1).device == "/device:CPU:0"
      with tf.compat.v1.device("/device:GPU:0"):
        assert tf.constant(1).device == "/device:CPU:0"
      with tf.compat.v1.device("/job:my_ps/task:0/device:GPU:0"):
        assert tf.constant(1).device == "/job:my_ps/task:0/device:CPU:0"

  def test_gpu_scopes_count_only_in_gpu_training(self):
    with tf.compat.v1.device(device_utils.default_device_fn):
      with device_utils.maybe_device_if_allowed("/device:GPU:0"):
        assert tf.constant(1).device == "/device:CPU:0"
      device_utils.enable_gpu_training()
      try:
        with device_utils.maybe_device_if_allowed("/device:GPU:0"):
          assert tf.constant(1).device == "/device:GPU:0"
          assert tf.constant("text").device == "/device:CPU:0"
          assert device_utils.within_placement_context_of("GPU")
      finally:
        device_utils.disable_gpu_training()
    assert not device_utils.is_gpu_training()
    assert device_utils.within_placement_context_of("CPU")

  def test_variables_go_to_parameter_servers(self):
    cluster = tf.train.ClusterSpec({"chief": ["c:1"], "ps": ["p:1", "p:2"]})
    device_fn = device_utils.get_device_fn(cluster, {"type": "chief", "index": 0})
    with tf.compat.v1.device(device_fn):
      variables = [tf.compat.v1.get_variable(n, [], use_resource=True) for n in "ab"]
      assert tf.constant(1).device == "/job:chief/task:0"
    assert [v.device for v in variables] == ["/job:ps/task:0", "/job:ps/task:1"]
    assert device_utils.get_device_fn() is device_utils.default_device_fn
    with pytest.raises(ValueError, match="needs task"):
      device_utils.get_device_fn(cluster)


class TestDistributionUtils:
  def test_ranks_come_from_the_environment(self, monkeypatch):
    for name in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"):
      monkeypatch.delenv(f"OMPI_COMM_WORLD_{name}", raising=False)
    functions = (
      distribution_utils.get_mpi_rank,
      distribution_utils.get_mpi_local_rank,
      distribution_utils.get_mpi_size,
      distribution_utils.get_mpi_local_size,
    )
    assert [f() for f in functions] == [0, 0, 1, 1]
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "3")
    assert distribution_utils.get_mpi_rank() == 3
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "x")
    with pytest.raises(ValueError, match="OMPI_COMM_WORLD_RANK is 'x'"):
      distribution_utils.get_mpi_rank()

  def test_synchronous_training_is_off(self):
    assert not distribution_utils.enable_sync_training()
    assert distribution_utils.get_sync_run_hooks() == ()


class TestStreamingAuc:
  def _auc(self, *batches):
    labels = tf.compat.v1.placeholder(tf.bool, [None])
    predictions = tf.compat.v1.placeholder(tf.float32, [None])
    value, update = streaming_auc(labels, predictions, "auc")
    with tf.compat.v1.Session() as session:
      session.run(tf.compat.v1.local_variables_initializer())
      for batch_labels, batch_predictions in batches:
        session.run(update, {labels: batch_labels, predictions: batch_predictions})
      return session.run(value)

  def test_counts_pairs_over_batches(self):
    # Pairs: (.9, .1) right, (.9, .5) right, (.3, .1) right, (.3, .5) wrong.
    assert self._auc(([True, False], [0.9, 0.1]), ([True, False], [0.3, 0.5])) == 0.75

  def test_ties_count_half_and_one_class_gives_half(self):
    assert self._auc(([True, False], [0.5, 0.5])) == 0.5
    assert self._auc(([True, True], [0.5, 0.9])) == 0.5
    assert self._auc() == 0.5

  def test_agrees_with_pairwise_comparison(self):
    rng = np.random.RandomState(0)
    labels = rng.rand(400) < 0.3
    predictions = np.clip(0.02 * rng.rand(400) + 0.01 * labels, 0, 1).astype(np.float32)
    positives, negatives = predictions[labels][:, None], predictions[~labels][None, :]
    expected = np.mean((positives > negatives) + 0.5 * (positives == negatives))
    assert self._auc((labels, predictions)) == pytest.approx(expected, abs=0.01)
