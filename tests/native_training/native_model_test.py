# SPDX-License-Identifier: Apache-2.0
"""Tests of the classes that models derive from."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from idl.matrix.proto import example_pb2
from monolith.core import base_layer
from monolith.native_training import cpu_training, entry, feature, native_model, native_task, tf_estimator
from monolith.native_training.data import feature_utils as data_feature_utils
from monolith.native_training.data import parsers
from monolith.native_training.estimator import EstimatorSpec
from monolith.native_training.layers import MLP
from monolith.native_training.model_export import export_context
from monolith.native_training.prefetch_queue import AsyncFunctionMgr

import tensorflow as tf  # isort: skip

ModeKeys = tf_estimator.ModeKeys


class _Model(native_model.MonolithModel):
  """Gives what each test puts into `result`."""

  result = None

  def input_fn(self, mode):
    raise NotImplementedError

  def model_fn(self, features, mode):
    return self.result(self, features, mode)

  def serving_input_receiver_fn(self):
    return tf_estimator.export.ServingInputReceiver({}, {})


@pytest.fixture(name="graph", autouse=True)
def _graph():
  with tf.Graph().as_default() as graph:
    tf.compat.v1.get_variable_scope().set_use_resource(True)
    yield graph


def _model(result=None, batch_size=4, **params):
  p = _Model.params()
  p.set(**params)
  p.train.per_replica_batch_size = batch_size
  model = p.instantiate()
  model.result = result
  model.ctx.feature_factory = feature.DummyFeatureFactory(batch_size)
  model.ctx.async_function_mgr = AsyncFunctionMgr(is_async=False)
  return model


def _run_model_fn(model, mode=ModeKeys.TRAIN, features=None):
  return model.create_model_fn()(features or {}, mode, None)


def _evaluate(*fetches):
  with tf.compat.v1.Session() as session:
    session.run([tf.compat.v1.global_variables_initializer(), tf.compat.v1.local_variables_initializer()])
    return session.run(fetches)


class TestSigmoidLoss:
  logits = [[0.5], [-1.0], [2.0]]
  label = [1.0, 0.0, 1.0]

  def _losses(self):
    x, y = np.array(self.logits).ravel(), np.array(self.label)
    return np.log1p(np.exp(x)) - y * x

  def test_loss_is_the_sum_and_pred_the_sigmoid(self):
    loss, pred = native_model.get_sigmoid_loss_and_pred("head", tf.constant(self.logits), tf.constant(self.label), 99)
    loss_value, pred_value = _evaluate(loss, pred)
    np.testing.assert_allclose(loss_value, self._losses().sum(), rtol=1e-5)
    np.testing.assert_allclose(pred_value, 1 / (1 + np.exp(-np.array(self.logits).ravel())), rtol=1e-5)
    assert "head_sigmoid" in pred.op.name

  def test_weights_and_mask(self):
    loss, _ = native_model.get_sigmoid_loss_and_pred(
      "head",
      tf.constant(self.logits),
      tf.constant(self.label),
      instance_weight=tf.constant([[1.0], [2.0], [3.0]]),
      mask=tf.constant([True, False, True]),
    )
    expected = (self._losses() * [1, 2, 3])[[0, 2]].sum()
    np.testing.assert_allclose(_evaluate(loss)[0], expected, rtol=1e-5)

  def test_sample_rate_corrects_the_loss_and_on_request_the_prediction(self):
    # Keeping a share r of the negatives raises the odds by 1/r; the corrected logit is the raw one minus ln r.
    arguments = ("head", tf.constant([0.0]), tf.constant([1.0]))
    loss, raw = native_model.get_sigmoid_loss_and_pred(*arguments, sample_rate=0.5)
    _, corrected = native_model.get_sigmoid_loss_and_pred(
      *arguments, sample_rate=tf.constant([0.5]), predict_before_correction=False
    )
    loss_value, raw_value, corrected_value = _evaluate(loss, raw, corrected)
    np.testing.assert_allclose(raw_value, [0.5])
    np.testing.assert_allclose(corrected_value, [2 / 3], rtol=1e-5)
    np.testing.assert_allclose(loss_value, -np.log(2 / 3), rtol=1e-5)

  def test_clipping_limits_the_corrected_logits(self):
    loss, pred = native_model.get_sigmoid_loss_and_pred(
      "head", tf.constant([10.0]), tf.constant([0.0]), logit_clip_threshold=0.25
    )
    loss_value, pred_value = _evaluate(loss, pred)
    np.testing.assert_allclose(loss_value, np.log(4.0), rtol=1e-5)
    assert pred_value[0] > 0.99
    with pytest.raises(AssertionError, match="logit_clip_threshold is 1.5"):
      native_model.get_sigmoid_loss_and_pred("head", tf.constant([1.0]), tf.constant([0.0]), logit_clip_threshold=1.5)

  def test_prediction_has_no_loss_and_no_correction(self):
    loss, pred = native_model.get_sigmoid_loss_and_pred(
      "head", tf.constant([0.0]), None, sample_rate=0.5, mode=ModeKeys.PREDICT
    )
    assert loss is None
    np.testing.assert_allclose(_evaluate(pred)[0], [0.5])


def test_softmax_loss():
  logits, label = tf.constant([[1.0, 3.0], [0.0, 0.0]]), tf.constant([[0.0, 1.0], [1.0, 0.0]])
  loss, pred = native_model.get_softmax_loss_and_pred("head", logits, label, ModeKeys.TRAIN)
  loss_value, pred_value = _evaluate(loss, pred)
  np.testing.assert_allclose(loss_value, [np.log1p(np.exp(-2.0)), np.log(2.0)], rtol=1e-5)
  np.testing.assert_array_equal(pred_value, [1, 0])
  assert native_model.get_softmax_loss_and_pred("p", logits, None, ModeKeys.PREDICT)[0] is None


class TestSettings:
  def test_params_are_attributes(self):
    model = _model(clip_norm=5.0)
    assert model.clip_norm == 5.0
    model.clip_norm = 6.0
    assert model.p.clip_norm == 6.0
    with pytest.raises(AttributeError, match="foo"):
      _ = model.foo

  def test_batch_size_follows_the_mode(self):
    model = _model(batch_size=4)
    model.p.eval.per_replica_batch_size = 8
    assert model.batch_size == 4
    model.mode = ModeKeys.EVAL
    assert model.batch_size == 8
    model.p.eval.per_replica_batch_size = None
    assert model.batch_size == 4
    model.batch_size = 16
    assert (model.train.per_replica_batch_size, model.p.eval.per_replica_batch_size) == (16, 16)

  def test_instantiate_returns_the_model_itself(self):
    model = _model()
    assert model.instantiate() is model

  def test_deep_copy_has_its_own_settings_and_no_graph(self):
    model = _model()
    model.create_embedding_feature_column("f")
    copied = copy.deepcopy(model)
    copied.clip_norm = 1.0
    assert model.clip_norm == 1000.0
    assert copied.fc_dict == {} and model.fc_dict
    assert copied.ctx is not model.ctx and copied.ctx.feature_factory is None

  def test_feature_list_gives_the_slots(self, tmp_path):
    path = tmp_path / "feature_list.conf"
    path.write_text("feature_name=f_listed slot=305\n")
    model = _model(feature_list=str(path))
    column = model.create_embedding_feature_column("f_listed")
    assert column.feature_slot.slot == 305
    assert model.create_embedding_feature_column(305) is column
    with pytest.raises(tf.errors.NotFoundError, match="no_such_file"):
      _model(feature_list=str(tmp_path / "no_such_file"))

  def test_share_slot_moves_fids(self):
    model = _model()
    features = {
      "f_shared_a": tf.ragged.constant([[(701 << 48) | 5], []], dtype=tf.int64),
      "f_shared_b": tf.ragged.constant([[(702 << 48) | 6, (702 << 48) | 7], []], dtype=tf.int64),
      "label": tf.constant([1.0, 0.0]),
    }
    result = model.share_slot(features, {"f_shared_a": (True, 703), "f_shared_b": (False, 704)}, suffix="moved")
    assert result is features and set(features) == {"f_shared_a", "f_shared_b", "f_shared_b_moved", "label"}
    with tf.compat.v1.Session() as session:
      a, b, moved = (session.run(features[name]) for name in ("f_shared_a", "f_shared_b", "f_shared_b_moved"))
    assert a.to_list() == [[(703 << 48) | 5], []]
    assert b.to_list() == [[(702 << 48) | 6, (702 << 48) | 7], []]
    assert moved.to_list() == [[(704 << 48) | 6, (704 << 48) | 7], []]
    # The names now stand for those slots.
    assert model.create_embedding_feature_column("f_shared_a").feature_slot.slot == 703
    assert model.create_embedding_feature_column("f_shared_b_moved").feature_slot.slot == 704

  def test_share_slot_refuses_what_it_cannot_move(self):
    with pytest.raises(ValueError, match="share_meta is missing"):
      _model().share_slot({})
    with pytest.raises(KeyError, match="feature 'f_gone' is missing; there are \\['x'\\]"):
      _model().share_slot({"x": tf.constant(1)}, {"f_gone": (True, 705)})
    with pytest.raises(ValueError, match="features are EagerTensor|features are SymbolicTensor|features are Tensor"):
      _model().share_slot(tf.constant(1), {"f_gone": (True, 705)})

  @pytest.mark.parametrize("variant_type", ["example", "example_batch"])
  def test_share_slot_of_records_is_a_function_to_map(self, variant_type):
    message = example_pb2.Example() if variant_type == "example" else example_pb2.ExampleBatch(batch_size=1)
    for name, fid in (("f_rec_a", (801 << 48) | 5), ("f_rec_b", (802 << 48) | 6)):
      if variant_type == "example":
        value = message.named_feature.add(name=name).feature
      else:
        value = message.named_feature_list.add(name=name).feature.add()
      value.fid_v2_list.value.append(fid)
    meta = {"f_rec_a": (True, 803), "f_rec_b": (False, 804)}
    move = _model().share_slot(None, meta, variant_type=variant_type, suffix="moved")
    records = data_feature_utils.string_to_variant([message.SerializeToString()], variant_type)
    parse = parsers.parse_examples if variant_type == "example" else parsers.parse_example_batch
    features = parse(move(records), ["f_rec_a", "f_rec_b", "f_rec_b_moved"])
    with tf.compat.v1.Session() as session:
      found = {name: session.run(features[name]).to_list() for name in features if name.startswith("f_rec")}
    assert found == {
      "f_rec_a": [[(803 << 48) | 5]],
      "f_rec_b": [[(802 << 48) | 6]],
      "f_rec_b_moved": [[(804 << 48) | 6]],
    }

  def test_messages_that_go_nowhere_are_refused_unless_nothing_is_sampled(self):
    model = _model(_one_head)
    model.p.metrics.enable_deep_insight = True
    with pytest.raises(ValueError, match="metrics.enable_deep_insight is on, but there is no databus"):
      _run_model_fn(model)
    model.p.metrics.deep_insight_sample_ratio = 0.0
    _run_model_fn(model)


def _optimizer():
  return tf.compat.v1.train.GradientDescentOptimizer(1.0)


def _one_head(model, features, mode):
  del model, features, mode
  with tf.compat.v1.variable_scope("", reuse=tf.compat.v1.AUTO_REUSE):
    w = tf.compat.v1.get_variable("w", [2], initializer=tf.compat.v1.ones_initializer())
  return EstimatorSpec(
    label=tf.constant([1.0, 0.0], name="truth"),
    pred=tf.sigmoid(w * [1.0, -1.0]),
    head_name="ctr",
    loss=tf.reduce_sum(w),
    optimizer=_optimizer(),
  )


class TestModelFn:
  def test_train_step_moves_variables_and_the_global_step(self):
    spec = _run_model_fn(_model(_one_head))
    w = tf.compat.v1.trainable_variables()[0]
    with tf.compat.v1.Session() as session:
      session.run([tf.compat.v1.global_variables_initializer(), tf.compat.v1.local_variables_initializer()])
      session.run(spec.train_op)
      np.testing.assert_allclose(session.run(w), [0.0, 0.0])
      assert session.run(tf.compat.v1.train.get_global_step()) == 1
    tags = [op.name for op in tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES)]
    assert any("ctr_auc" in tag for tag in tags)

  def test_triples_count_as_classification(self):
    def result(model, features, mode):
      return tf.constant([1.0]), tf.constant(0.5) * _variable(), tf.constant([0.5])

    model = _model(result)
    model._default_dense_optimizer = _optimizer()
    assert _run_model_fn(model).train_op is not None

  def test_unusable_results_are_named(self):
    with pytest.raises(ValueError, match="EstimatorSpec Error! model_fn returned int"):
      _run_model_fn(_model(lambda *_: 3))
    with pytest.raises(ValueError, match="dense_optimizer not found"):
      _run_model_fn(_model(lambda *_: _one_head(*_)._replace(optimizer=None)))
    with pytest.raises(ValueError, match="model_fn returned no loss"):
      _run_model_fn(_model(lambda *_: _one_head(*_)._replace(loss=None)))
    with pytest.raises(ValueError, match="mode is 'test'"):
      _run_model_fn(_model(_one_head), "test")

  def test_head_mismatches_are_named(self):
    def two(names, labels):
      return lambda *_: _one_head(*_)._replace(head_name=names, pred=[tf.constant([0.5])] * 2, label=labels)

    with pytest.raises(AssertionError, match="head_name has 1 entries"):
      _run_model_fn(_model(two("ctr", None)), ModeKeys.PREDICT)
    with pytest.raises(AssertionError, match="label has 1 entries"):
      _run_model_fn(_model(two("a,b", [tf.constant([1.0])])), ModeKeys.PREDICT)
    spec = _run_model_fn(_model(two("a, b", None)), ModeKeys.PREDICT)
    assert sorted(spec.predictions) == ["a", "b"]

  def test_dict_predictions_name_the_heads_in_order(self):
    preds = {"z": tf.constant([0.5]), "a": tf.constant([2.0])}

    def result(model, features, mode):
      return EstimatorSpec(
        label={"z": tf.constant([1.0]), "a": tf.constant([4.0])},
        pred=preds,
        loss=tf.constant(1.0),
        classification={"z": True, "a": False},
      )

    spec = _run_model_fn(_model(result), ModeKeys.EVAL)
    assert list(spec.eval_metric_ops) == ["z_auc", "a_mse"]
    with tf.compat.v1.Session() as session:
      session.run(tf.compat.v1.local_variables_initializer())
      session.run([update for _, update in spec.eval_metric_ops.values()])
      assert session.run(spec.eval_metric_ops["a_mse"][0]) == 4.0

  def test_prediction_needs_neither_label_nor_loss(self):
    spec = _run_model_fn(_model(lambda *_: EstimatorSpec(label=None, pred=tf.constant([0.5]))), ModeKeys.PREDICT)
    assert isinstance(spec.predictions, tf.Tensor)

  def test_labels_are_renamed(self, graph):
    _run_model_fn(_model(_one_head))
    assert graph.get_operation_by_name("label_truth")

  def test_auxiliary_losses_count_once(self):
    def result(model, features, mode):
      collected, registered = tf.constant(2.0), tf.constant(3.0)
      model.add_loss(collected)
      model.add_loss([])
      base_layer.add_layer_loss("a", collected)
      base_layer.add_layer_loss("b", registered)
      return EstimatorSpec(label=None, pred=tf.constant([0.5]), loss=tf.constant(1.0))

    spec = _run_model_fn(_model(result), ModeKeys.EVAL)
    assert _evaluate(spec.loss)[0] == 6.0

  def test_evaluating_model_in_a_training_loop_trains_nothing(self):
    model = _model(_one_head, mode=ModeKeys.EVAL)
    spec = _run_model_fn(model, ModeKeys.TRAIN)
    w = tf.compat.v1.trainable_variables()[0]
    with tf.compat.v1.Session() as session:
      session.run([tf.compat.v1.global_variables_initializer(), tf.compat.v1.local_variables_initializer()])
      session.run(spec.train_op)
      np.testing.assert_allclose(session.run(w), [1.0, 1.0])

  def test_batch_normalization_moves_its_averages(self):
    def result(model, features, mode):
      layer = tf.keras.layers.BatchNormalization(momentum=0.5)
      out = layer(tf.constant([[1.0], [3.0]]), training=True)
      result.moving_mean = layer.moving_mean
      return _one_head(model, features, mode)._replace(loss=tf.reduce_sum(out))

    spec = _run_model_fn(_model(result))
    with tf.compat.v1.Session() as session:
      session.run([tf.compat.v1.global_variables_initializer(), tf.compat.v1.local_variables_initializer()])
      session.run(spec.train_op)
      np.testing.assert_allclose(session.run(result.moving_mean), [1.0])

  @pytest.mark.parametrize("mode, expected", [(ModeKeys.TRAIN, [-1.0, 1.0]), (ModeKeys.EVAL, [1.0, 3.0])])
  def test_layers_learn_from_the_mode_whether_they_train(self, mode, expected):
    """Upstream's batch normalization stayed in inference mode, where a layer is called without `training`."""

    def result(model, features, model_mode):
      x = tf.constant([[1.0], [3.0]])
      tower = MLP([1, 1], ["linear", None], "ones", use_weight_norm=False, enable_batch_normalization=True)
      tower(x)
      result.normalized, result.dropped = tower.get_layer(0)(x), tf.keras.layers.Dropout(0.5)(tf.ones([1000]))
      return _one_head(model, features, model_mode)

    _run_model_fn(_model(result), mode)
    with tf.compat.v1.Session() as session:
      session.run(tf.compat.v1.global_variables_initializer())
      normalized, dropped = session.run([result.normalized, result.dropped])
    np.testing.assert_allclose(normalized[:, 0], expected, rtol=1e-3)
    assert (dropped == 0).any() == (mode == ModeKeys.TRAIN)

  def test_hooks_belong_to_the_graph(self):
    class KafkaMetricHook(tf.compat.v1.train.SessionRunHook):
      pass

    def result(model, features, mode):
      for _ in range(2):
        model.add_training_hook(KafkaMetricHook())
        model.add_training_hook(tf.compat.v1.train.SessionRunHook())
      return _one_head(model, features, mode)

    spec = _run_model_fn(_model(result))
    assert len(spec.training_hooks) == 3

  def test_extra_outputs_exist_only_while_exporting(self):
    model = _model()
    model.add_extra_output("extra", tf.constant([1.0]))
    assert model._export_outputs == {}
    with export_context.enter_export_mode(export_context.ExportMode.STANDALONE):
      model.add_extra_output("extra", tf.constant([1.0]))
      with pytest.raises(KeyError, match="output 'extra' already"):
        model.add_extra_output("extra", tf.constant([1.0]))
      model.result = lambda *_: EstimatorSpec(label=None, pred=tf.constant([0.5]))
      spec = _run_model_fn(model, ModeKeys.PREDICT)
    assert list(spec.export_outputs) == ["serving_default", "extra"]
    np.testing.assert_allclose(tf.get_static_value(spec.export_outputs["serving_default"].outputs["output"]), [0.5])
    np.testing.assert_allclose(tf.get_static_value(spec.export_outputs["extra"].outputs["output"]), [1.0])


def _variable():
  return tf.compat.v1.get_variable("v", [], initializer=tf.compat.v1.ones_initializer())


class TestEmbeddingSlices:
  def test_columns_are_made_once(self):
    model = _model()
    column = model.create_embedding_feature_column("f", occurrence_threshold=2, expire_time=7)
    assert model.create_embedding_feature_column("f") is column
    by_slot = model.create_embedding_feature_column(123)
    assert by_slot.feature_name == "fc_slot_123"
    assert model.ctx.feature_factory.slot_to_occurrence_threshold[123] == 0
    assert model.ctx.feature_factory.slot_to_expire_time[column.feature_slot.slot] == 7

  def test_combiners(self):
    model = _model()
    assert type(model.create_embedding_feature_column("a").combiner).__name__ == "ReduceSum"
    sequence = model.create_embedding_feature_column("b", max_seq_length=3)
    assert sequence.combiner.max_seq_length == 3
    mean = model.create_embedding_feature_column("c", combiner="reduce_mean")
    assert type(mean.combiner).__name__ == "ReduceMean"
    with pytest.raises(ValueError, match="combiner is 'max'"):
      model.create_embedding_feature_column("d", combiner="max")

  @pytest.mark.parametrize("owner_first", [True, False])
  def test_shared_name_shares_slot_and_slices(self, owner_first):
    model = _model()
    makers = [
      lambda: model.create_embedding_feature_column("owner"),
      lambda: model.create_embedding_feature_column("guest", shared_name="owner"),
    ]
    for make in makers if owner_first else reversed(makers):
      make()
    assert model.fc_dict["guest"].feature_slot is model.fc_dict["owner"].feature_slot
    model.lookup_embedding_slice(["owner", "guest"], "vec", 4)
    configs = model.ctx.feature_factory.get_table_name_to_table_config()
    assert configs["owner"].unmerged_slice_dims == [4]
    assert sorted(configs["owner"].feature_names) == ["guest", "owner"]

  def test_lookup_forms(self):
    model = _model(batch_size=4)
    for name in "abc":
      model.create_embedding_feature_column(name)
    listed = model.lookup_embedding_slice(["a", "b"], "one", 2)
    assert [t.shape.as_list() for t in listed] == [[4, 2], [4, 2]]
    assert model.lookup_embedding_slice(["a", "b"], "one", 2, out_type="concat").shape == [4, 4]
    assert model.lookup_embedding_slice(["a", "b"], "one", 2, out_type="stack").shape == [4, 2, 2]
    assert model.lookup_embedding_slice(["a", "b"], "one", 2, out_type="addn").shape == [4, 2]
    various = model.lookup_embedding_slice({"a": 3, "b": 5}, "two")
    assert [t.shape.as_list() for t in various] == [[4, 3], [4, 5]]
    pairs = model.lookup_embedding_slice([("a", 1), ("c", 2)], "three")
    assert [t.shape.as_list() for t in pairs] == [[4, 1], [4, 2]]
    groups = model.lookup_embedding_slice([("a", "b"), ("c",)], "four", 2, group_out_type="concat")
    assert [t.shape.as_list() for t in groups] == [[4, 4], [4, 2]]
    # A layout for every way in which the slices of features are joined.
    assert len(model.layout_dict) == 7

  def test_lookup_mistakes_are_named(self):
    model = _model()
    with pytest.raises(ValueError, match="ValueError for features"):
      model.lookup_embedding_slice(["a"], "vec")
    with pytest.raises(ValueError, match="group_out_type is 'mean'"):
      model.lookup_embedding_slice([("a", "b")], "vec", 2, group_out_type="mean")
    with pytest.raises(ValueError, match="out_type is 'mean'"):
      model.lookup_embedding_slice(["a"], "vec", 2, out_type="mean")
    with pytest.raises(ValueError, match="slice 'vec' of feature 'a' has dim 2, not 3"):
      model.lookup_embedding_slice(["a"], "vec", 3)

  def test_layout_records_slices_and_shapes(self):
    model = _model(batch_size=4)
    model.lookup_embedding_slice(["b", "a"], "vec", 2, out_type="concat")
    ((name, layout),) = model.layout_dict.items()
    assert name == "vec_" + __import__("hashlib").md5(b"a,b").hexdigest()
    assert layout.out_type == example_pb2.OutType.CONCAT
    assert [(s.feature_name, s.start, s.end) for s in layout.slice_configs] == [("b", 0, 2), ("a", 0, 2)]
    assert [list(shape.dims) for shape in layout.shape] == [[-1, 4]]


class TestDeviceCtx:
  def test_types(self):
    assert len(native_model.DeviceCtxType.all_types()) == 4
    with pytest.raises(AssertionError, match="ctx_type is 'x'"):
      native_model.MonolithDeviceCtx("x")

  def test_changes_nothing_without_synchronous_training(self):
    with native_model.MonolithDeviceCtx(native_model.DeviceCtxType.MODEL_FN):
      assert tf.constant(1).device == ""


def test_native_context_delegates():
  class Layout:
    def create_feature_slot(self, config):
      return ("slot", config)

    def apply_gradients(self, grads_and_vars, scale):
      return list(grads_and_vars), scale

  ctx = native_task.NativeContext(layout_factory=Layout())
  assert ctx.create_feature_slot("config") == ("slot", "config")
  assert ctx.apply_embedding_gradients([(1, 2)], scale=3) == ([(1, 2)], 3)
  with pytest.raises(ValueError, match="in the same time"):
    native_task.NativeContext(feature_factory=object(), layout_factory=object())
  with pytest.raises(ValueError, match="no feature factory"):
    native_task.NativeContext().create_feature_slot(feature.FeatureSlotConfig(name="s"))
  assert native_task.NativeContext().add_async_function(max, (1, 2)) == 2


def test_task_without_receiver_cannot_be_exported():
  class Task(native_task.NativeTask):
    def create_input_fn(self, mode):
      raise NotImplementedError

    def create_model_fn(self):
      raise NotImplementedError

  task = Task.params().instantiate()
  assert task.create_serving_input_receiver_fn() is None
  assert task.p.name == "task"
  assert task.p.serving.export_mode is export_context.ExportMode.DISTRIBUTED


def test_embeddings_of_an_optimizer_without_rate_take_zero():
  model = _model()
  model.lookup_embedding_slice(["a"], "ema", 2, optimizer=entry.MovingAverageOptimizer())
  config = model.ctx.feature_factory.get_table_name_to_table_config()["a"]
  assert config.slice_configs[0].learning_rate_fn == 0.0


def test_trainer_accepts_a_model_object():
  model = _model(_one_head)
  model.ctx.feature_factory = None
  model.input_fn = lambda mode: tf.data.Dataset.from_tensors({"x": tf.ones([1])})
  training = cpu_training.CpuTraining(cpu_training.CpuTrainingConfig(), model)
  assert training.feature_configs.table_to_config == {}
