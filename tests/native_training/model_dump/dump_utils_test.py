# SPDX-License-Identifier: Apache-2.0
"""What is noted of models, and dumps of small models: loaded, rebuilt and run, they give the same numbers."""

import inspect
import json
import logging
import pickle

import numpy as np
import pytest

import graph_values

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.core import hyperparams
from monolith.native_training import (
  cpu_training,
  embedding_combiners,
  entry,
  learning_rate_functions,
  model,
  tf_estimator,
)
from monolith.native_training.data import feature_utils as fu
from monolith.native_training.data import parsers
from monolith.native_training.data.item_pool_hook import ItemPoolSaveRestoreHook
from monolith.native_training.input import generate_ffm_example
from monolith.native_training.model_dump import dump_utils, graph_utils, monolith_model_pb2
from monolith.native_training.model_export import export_context
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

v1 = tf.compat.v1
ModeKeys = tf_estimator.ModeKeys


@pytest.fixture
def dump():
  """The dump of the process, enabled."""
  dump = dump_utils.DumpUtils()
  dump.reset()
  dump.enable = True
  yield dump
  dump.enable = False
  dump.reset()


class _Model:
  """Attributes of a model, without one."""

  def __init__(self):
    self.p = hyperparams.InstantiableParams(_Model)
    self.p.define("rate", 0.5, "A number.")
    self.p.define("parse_fn", len, "A function.")
    self.p.define("train", hyperparams.Params(), "Nested.")
    self.p.train.define("steps", 7, "A number.")
    self.depth = 3
    self.names = ["a", "b"]
    self.initializer = entry.RandomUniformInitializer(-0.1, 0.1)
    self.callback = lambda: 0
    self.graph = tf.Graph()
    self._private = 1
    self._layout_dict = {"first": example_pb2.OutConfig(out_type=example_pb2.OutType.CONCAT)}


# The object.


def test_there_is_one_dump_a_process(dump):
  assert dump_utils.DumpUtils() is dump and dump_utils.DumpUtils().enable


def test_graphs_are_noted_where_dumps_are_enabled_and_graphs_run(dump):
  with tf.Graph().as_default() as graph:
    assert dump.need_record
    assert dump.model_dump is dump.model_dump
    assert isinstance(graph.monolith_model_dump, monolith_model_pb2.ProtoModel)
    graph.dry_run = True
    assert not dump.need_record
  with tf.Graph().as_default():
    dump.enable = False
    assert not dump.need_record


def test_defaults_take_the_place_of_none(dump):
  def function(a, b=2, *, c=3):
    return a, b, c

  assert dump.update_kwargs_with_default(function, {"a": None, "b": None, "c": 5}) == {"a": None, "b": 2, "c": 5}


# Calls.


def _column(self, feature_name, occurrence_threshold=None, expire_time=36500, max_seq_length=0, shared_name=None,
            combiner=None, colour=None):  # fmt: skip
  return feature_name


def test_features_are_noted_once(dump, caplog):
  record = dump.record_feature(_column)
  assert inspect.signature(record) == inspect.signature(_column)
  holder = type("Holder", (), {"p": hyperparams.Params()})()
  holder.p.define("default_occurrence_threshold", 4, "")
  with tf.Graph().as_default(), caplog.at_level(logging.WARNING):
    for _ in range(2):
      assert record(holder, 12, expire_time=9) == 12
    record(holder, "user", 2, shared_name=12, combiner=embedding_combiners.FirstN(5))
    record(holder, "item", combiner="reduce_mean", max_seq_length=3)
    slot, user, item = dump.model_dump.features
  assert slot.feature_name.endswith("slot_12") and (slot.occurrence_threshold, slot.expire_time) == (4, 9)
  assert (user.occurrence_threshold, user.expire_time) == (2, 36500) and user.shared_name == slot.feature_name
  assert (user.combiner, user.max_seq_length) == ("FirstN", 5)
  assert (item.combiner, item.max_seq_length) == ("ReduceMean", 3)
  assert "FeatureColumn has no field for the argument colour" in caplog.text


def test_nothing_is_noted_where_dumps_are_off(dump):
  dump.enable = False
  with tf.Graph().as_default() as graph:
    assert dump.record_feature(_column)(None, 12) == 12
    assert dump.record_slice(_slice)(None, ["user"], "vec", 4, learning_rate_fn=lambda: 0.1) is not None
    dump.add_input_fn({"x": 3})
    dump.add_optimizer(object())
    assert not hasattr(graph, "monolith_model_dump")


def _slice(self, features, slice_name, slice_dim=None, initializer=None, optimizer=None, compressor=None,
           learning_rate_fn=None, group_out_type="add_n", out_type=None):  # fmt: skip
  return [tf.zeros([2, 4], name="found"), tf.ones([2, 4], name="found")]


def test_slices_are_noted_with_what_comes_out(dump):
  record = dump.record_slice(_slice)
  with tf.Graph().as_default():
    record(
      None, [("user", "item"), ("place",)], "vec", 4, entry.ZerosInitializer(), optimizer=entry.SgdOptimizer(0.5),
      compressor=entry.Fp16Compressor(), out_type="stack",
    )  # fmt: skip
    record(None, {"user": 3, "item": 5}, "bias")
    first, second = dump.model_dump.emb_slices
    names = [feature.feature_name for feature in dump.model_dump.features]
  assert first.features == "[('user', 'item'), ('place',)]" and second.features == "{'user': 3, 'item': 5}"
  assert (first.slice_name, first.slice_dim, first.group_out_type, first.out_type) == ("vec", 4, "add_n", "stack")
  assert first.initializer == entry.ZerosInitializer().as_proto()
  assert first.optimizer == entry.SgdOptimizer(0.5).as_proto()
  assert first.compressor == entry.Fp16Compressor().as_proto()
  assert list(first.output_tensor_names) == ["found:0", "found_1:0"]
  assert names == ["user", "item", "place"]


def test_learning_rates_of_slices_are_refused_in_any_place(dump):
  record = dump.record_slice(_slice)
  with tf.Graph().as_default():
    with pytest.raises(ValueError, match="slice 'vec' has a learning_rate_fn"):
      record(None, ["user"], "vec", 4, learning_rate_fn=0.1)
    with pytest.raises(ValueError, match="slice 'vec' has a learning_rate_fn"):
      record(None, ["user"], "vec", 4, None, None, None, 0.1)
    assert not dump.model_dump.emb_slices


def test_receivers_are_noted(dump):
  def receiver_fn():
    examples = v1.placeholder(tf.string, [None], name="examples")
    features = parsers.parse_examples(examples, ["user"], ["dense"], [3], [tf.float32])
    return tf_estimator.export.ServingInputReceiver(features, examples)

  with tf.Graph().as_default():
    dump.record_receiver(receiver_fn)()
    message = dump.model_dump.serving_input_receiver_fn
  assert dict(message.receiver_name) == {"input": "examples:0"} and message.parser_type == "example"
  assert "'dtype': 'float32'" in message.features["dense"] and "'last_dim': 3" in message.features["dense"]


def test_inputs_are_noted(dump):
  with tf.Graph().as_default():
    pool = fu.create_item_pool(0, 50)
    features = {"x": tf.constant(1.0, name="x"), "fids": tf.ragged.constant([[1], []])}
    dump.add_input_fn((features, tf.constant(0.0, name="y")), parser_type="instance")
    message = dump.model_dump.input_fn
    assert message.output_features["x"] == "{'name': 'x:0', 'is_ragged': False}"
    assert "'is_ragged': True" in message.output_features["fids"]
    assert (message.label, message.parser_type, message.item_pool) == ("'y:0'", "instance", pool.name)
    with pytest.raises(ValueError, match="the input gives .*Tensor; a dump holds a dict"):
      dump.add_input_fn(features["x"])


# Parameters.


def test_parameters_are_plain_data(dump, caplog):
  with caplog.at_level(logging.WARNING):
    data = dump.get_params_bytes(_Model())
  assert "attributes of the model that are no plain data: graph" in caplog.text
  assert "settings that are no plain data: parse_fn" in caplog.text
  dump.train = monolith_model_pb2.ProtoModel(params=data)
  dump.train_graph = v1.GraphDef()
  params = dump.restore_params()
  assert sorted(params) == ["_layout_dict", "depth", "initializer", "names", "p"]
  assert (params["depth"], params["names"]) == (3, ["a", "b"])
  assert params["initializer"] == entry.RandomUniformInitializer(-0.1, 0.1)
  assert params["p"].rate == 0.5 and params["p"].train.steps == 7 and params["p"].parse_fn is None
  assert params["_layout_dict"] == {"first": example_pb2.OutConfig(out_type=example_pb2.OutType.CONCAT)}


def test_parameters_of_others_are_refused(dump, capsys):
  class Evil:
    def __reduce__(self):
      return print, ("run by a pickle",)

  dump.train, dump.train_graph = monolith_model_pb2.ProtoModel(), v1.GraphDef()
  dump.train.params = pickle.dumps(Evil())
  with pytest.raises(ValueError, match="ProtoModel.params holds builtins.print"):
    dump.restore_params()
  assert "run" not in capsys.readouterr().out
  dump.train.params = pickle.dumps({"depth": 3})
  with pytest.raises(ValueError, match="ProtoModel.params has no _layout_dict"):
    dump.restore_params()
  dump.train.params = pickle.dumps({"_layout_dict": {}, "_training_hooks": [1]})
  assert dump.restore_params() == {"_layout_dict": {}}
  dump.reset()
  with pytest.raises(ValueError, match=r"the dump has nothing of mode 'infer'; it has \[\]"):
    dump.restore_params()


def test_optimizers_that_dumps_cannot_hold_are_refused(dump):
  with tf.Graph().as_default():
    dump.add_optimizer(v1.train.AdamOptimizer(learning_rate_functions.PolynomialDecay(0.1, 10)))
    rate = graph_utils.GraphDefHelper(v1.GraphDef(), {}).get_optimizer(dump.model_dump)._lr
    assert str(rate) == str(learning_rate_functions.PolynomialDecay(0.1, 10))
    with pytest.raises(ValueError, match="the optimizer AdamOptimizer cannot be dumped"):
      dump.add_optimizer(v1.train.AdamOptimizer(lambda: 0.1))
    with pytest.raises(ValueError, match="the optimizer SGD cannot be dumped|the optimizer SGD holds"):
      dump.add_optimizer(tf.keras.optimizers.legacy.SGD(0.1))


# Model functions.


def _heads(dump, **changes):
  arguments = dict(
    model=_Model(), mode=ModeKeys.TRAIN, features={}, label=None, loss=tf.constant(0.0), pred=None, head_name=None,
    is_classification=True,
  )  # fmt: skip
  dump.add_model_fn(**{**arguments, **changes})
  return dump.model_dump.model_fn


def test_heads_are_lined_up(dump):
  with tf.Graph().as_default():
    a, b, y = tf.constant(1.0, name="a"), tf.constant(2.0, name="b"), tf.constant(3.0, name="y")
    message = _heads(
      dump, pred={"ctr": a, "cvr": b}, label={"cvr": y}, features={"a": a, "r": tf.ragged.constant([[1]])}
    )
    assert list(message.predict) == ["a:0", "b:0"] and list(message.label) == ["", "y:0"]
    assert list(message.head_name) == ["ctr", "cvr"] and list(message.classification) == [True, True]
    assert dict(message.non_ragged_features) == {"a": "a:0"}
    message = _heads(dump, pred=a, label=y, head_name="ctr", is_classification=[False])
    assert (list(message.predict), list(message.label), list(message.classification)) == (["a:0"], ["y:0"], [False])
    message = _heads(dump)
    assert not message.predict and not message.label and message.loss
    with pytest.raises(ValueError, match="2 predictions, 1 labels, 2 head names"):
      _heads(dump, pred=[a, b], label=[y], head_name=["ctr", "cvr"])


def test_evaluation_is_not_noted(dump):
  with tf.Graph().as_default():
    _heads(dump, mode=ModeKeys.EVAL)
    assert dump.train is None and dump.infer is None
    with pytest.raises(ValueError, match="mode is 'other'"):
      _heads(dump, mode="other")


def test_hooks_are_refused_but_for_one_of_the_item_pool(dump, tmp_path):
  with tf.Graph().as_default() as graph:
    pool_hook = ItemPoolSaveRestoreHook(str(tmp_path), None)
    setattr(graph, "__training_hooks", [pool_hook])
    _heads(dump)
    setattr(graph, "__training_hooks", [pool_hook, pool_hook])
    with pytest.raises(ValueError, match="ItemPoolSaveRestoreHook', 'ItemPoolSaveRestoreHook"):
      _heads(dump)
    setattr(graph, "__training_hooks", [v1.train.StopAtStepHook(1)])
    with pytest.raises(ValueError, match=r"training hooks \['StopAtStepHook'\]"):
      _heads(dump)


def test_losses_summaries_outputs_and_signatures_are_noted(dump):
  context = export_context.ExportContext()
  with (
    export_context.enter_export_mode(export_context.ExportMode.STANDALONE, context),
    tf.Graph().as_default() as graph,
  ):
    x = tf.constant([1.0], name="x")
    summary = v1.summary.scalar("s", 1.0)
    setattr(graph, "__losses", [tf.constant(2.0, name="extra")])
    outputs = tf_estimator.export.PredictOutput(x)
    setattr(graph, "__export_outputs", {"more": outputs, "two": tf_estimator.export.PredictOutput({"a": x, "b": x})})
    context.add_signature(graph, "served", {"in": x}, {"out": x})
    message = _heads(dump, mode=ModeKeys.PREDICT, loss=None, pred=x, head_name="ctr")
    assert list(message.summary) == [summary.name] and list(message.extra_losses) == ["extra:0"] and not message.loss
    assert {e.signature_name: dict(e.fetch_dict) for e in dump.infer.extra_output} == {
      "more": {"output": "x:0"}, "two": {"a": "x:0", "b": "x:0"}
    }  # fmt: skip
    (signature,) = dump.infer.signature
    assert (signature.name, dict(signature.inputs), dict(signature.outputs)) == (
      "served",
      {"in": "x:0"},
      {"out": "x:0"},
    )
  with pytest.raises(ValueError, match="no export in progress"):
    dump.restore_signature()
  context = export_context.ExportContext()
  with (
    export_context.enter_export_mode(export_context.ExportMode.STANDALONE, context),
    tf.Graph().as_default() as graph,
  ):
    model = dump.get_graph_helper(ModeKeys.PREDICT).import_model_fn({}, dump.infer)
    dump.restore_signature()
    (signature,) = context.signatures(graph)
    assert signature.name == "served" and signature.outputs == {"out": model.predict[0]}


def test_variables_and_their_parts_survive(dump, tmp_path):
  with tf.Graph().as_default():
    with v1.variable_scope("s", partitioner=v1.fixed_size_partitioner(2), use_resource=True):
      w = v1.get_variable("w", initializer=tf.range(6.0))
    step = v1.train.get_or_create_global_step()
    pred = tf.identity(w, name="pred") + tf.cast(step, tf.float32)
    _heads(dump, pred=pred, head_name="h")
    infos = dict(dump.train.save_slice_info)
  dump.dump(str(tmp_path / "dump"))
  dump.load(str(tmp_path / "dump"))
  assert sorted(infos) == ["s/w/part_0", "s/w/part_1"] and dict(dump.train.save_slice_info) == infos
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    model = dump.get_graph_helper(ModeKeys.TRAIN).import_model_fn({}, dump.train)
    assert v1.train.get_global_step() is not None
    assert [v.op.name for v in v1.trainable_variables()] == ["s/w/part_0", "s/w/part_1"]
    session.run(v1.global_variables_initializer())
    np.testing.assert_array_equal(session.run(model.predict[0]), np.arange(6.0))
    saver = v1.train.Saver()
    saver.save(session, str(tmp_path / "ckpt"))
  assert dict(tf.train.list_variables(str(tmp_path / "ckpt"))) == {"global_step": [], "s/w": [6]}


# Tables.


def _table(rates, dim=4):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  config.cuckoo.SetInParent()
  config.entry_config.segments.add(dim_size=dim).opt_config.sgd.learning_rate = 0.5
  return entry.HashTableConfigInstance(config, rates, ["old"])


def test_tables_round_trip(dump, tmp_path):
  dump.enable = True
  assert not dump.has_collected()
  dump.table_configs = {"user": _table([0.5])}
  with pytest.raises(AssertionError, match="the dump has no feature_slice_dims, feature_combiners"):
    dump.has_collected()
  dump.feature_slice_dims = {"user": [1, 4], "item": [4]}
  combiners = {"user": embedding_combiners.ReduceSum(), "item": embedding_combiners.FirstN(7),
               "place": embedding_combiners.ReduceMean()}  # fmt: skip
  dump.feature_combiners = combiners
  dump.add_config(json.dumps({"num_ps": 2}))
  dump.add_user_params(["--a=1"])
  with tf.Graph().as_default():
    _heads(dump)
  dump.dump(str(tmp_path / "dump"))
  dump.load(str(tmp_path / "dump"))
  assert dump.has_collected()
  ((name, config),) = dump.table_configs.items()
  assert name == "user" and str(config) == str(_table([0.5])) and config.extra_restore_names == ["old"]
  assert dump.feature_slice_dims == {"user": [1, 4], "item": [4]}
  assert {name: str(c) for name, c in dump.feature_combiners.items()} == {name: str(c) for name, c in combiners.items()}
  assert json.loads(dump.run_config) == {"num_ps": 2} and dump.user_params == ["--a=1"]


def test_what_messages_of_tables_cannot_say_is_refused(dump):
  class Mine(embedding_combiners.ReduceSum):
    pass

  with pytest.raises(ValueError, match="table 'user' has the learning rate"):
    dump.table_configs = {"user": _table([lambda: 0.1])}
  with pytest.raises(ValueError, match="feature 'user' is combined by Mine"):
    dump.feature_combiners = {"user": Mine()}


def test_slots_of_features(dump, caplog):
  dump.train = monolith_model_pb2.ProtoModel()
  dump.train.features.add(feature_name="slot_900", occurrence_threshold=3, expire_time=5)
  dump.train.features.add(feature_name="slot_901", occurrence_threshold=4, expire_time=6)
  dump.train.features.add(feature_name="also", shared_name="slot_901", occurrence_threshold=9, expire_time=9)
  dump.train.features.add(feature_name="slot_none", occurrence_threshold=1)
  with caplog.at_level(logging.WARNING):
    assert dump.get_slot_to_occurrence_threshold() == {900: 3, 901: 4}
  assert "feature 'slot_none' has no slot" in caplog.text
  assert dump.get_slot_to_expire_time() == {900: 5, 901: 6}


# Sub-models and files.


def test_sub_models_go_into_the_export_in_progress(dump, tmp_path):
  graph = tf.Graph()
  context = export_context.ExportContext()
  with export_context.enter_export_mode(export_context.ExportMode.DISTRIBUTED, context):
    with graph.as_default():
      x = v1.placeholder(tf.float32, [], name="x")
      w = v1.get_variable("w", initializer=3.0, use_resource=True)
      context.add_signature(graph, "serve", {"x": x}, {"y": tf.multiply(w, x, name="y")})
    dump.add_sub_model("ps", "ps_0", graph)
    dump.add_sub_model("dense", "dense_0", graph)
    with pytest.raises(AssertionError, match="sub_model_type is 'gpu'"):
      dump.add_sub_model("gpu", "gpu_0", graph)
  with tf.Graph().as_default():
    _heads(dump)
  dump.dump(str(tmp_path / "dump"))
  dump.load(str(tmp_path / "dump"))
  context = export_context.ExportContext()
  with export_context.enter_export_mode(export_context.ExportMode.DISTRIBUTED, context):
    dump.restore_sub_model("ps")
    dump.restore_sub_model("dense")
    with pytest.raises(AssertionError, match="sub_model_type is 'gpu'"):
      dump.restore_sub_model("gpu")
  for restored in (context.sub_graphs["ps_0"], context.dense_sub_graphs["dense_0"]):
    (signature,) = context.signatures(restored)
    with v1.Session(graph=restored) as session, restored.as_default():
      session.run(v1.global_variables_initializer())
      assert session.run(signature.outputs["y"], {signature.inputs["x"]: 2.0}) == 6.0


def test_files(dump, tmp_path):
  with pytest.raises(ValueError, match="there is nothing to dump to"):
    dump.dump(str(tmp_path / "dump"))
  assert not list(tmp_path.iterdir())
  with pytest.raises(tf.errors.NotFoundError):
    dump.load(str(tmp_path / "dump"))
  for content, message in (
    (b"\xff\xff\xff", "no serialized ModelDump .*enable_model_dump"),
    (b"", "or one of no model"),
  ):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(ValueError, match=message):
      dump.load(str(tmp_path / "other"))
  with tf.Graph().as_default():
    _heads(dump)
  dump.dump(str(tmp_path / "dump"))
  assert sorted(path.name for path in tmp_path.iterdir()) == ["dump", "other"]


def test_helpers_belong_to_a_graph_a_mode_and_a_dump(dump):
  for mode in (ModeKeys.TRAIN, ModeKeys.PREDICT):
    with tf.Graph().as_default():
      _heads(dump, mode=mode)
  with tf.Graph().as_default() as graph:
    train = dump.get_graph_helper(ModeKeys.TRAIN)
    assert isinstance(train, graph_utils.GraphDefHelper) and graph.graph_def_helper is train
    assert dump.get_graph_helper(ModeKeys.TRAIN) is train and dump.get_graph_helper(ModeKeys.EVAL) is train
    assert dump.get_graph_helper(ModeKeys.PREDICT) is not train
  with tf.Graph().as_default() as graph:
    graph.dry_run = True
    assert dump.get_graph_helper(ModeKeys.TRAIN) is not train


# Input functions.


def test_results_of_input_functions_are_parsed_and_noted(dump):
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    dataset = tf.data.Dataset.from_tensors(({"x": [1.0, 2.0]}, [3.0]))
    (features, label), hooks = dump_utils.parse_input_fn_result(dataset)
    assert dump.model_dump.input_fn.label == repr(label.name)
    for hook in hooks:
      hook.after_create_session(session, None)
    np.testing.assert_array_equal(session.run(features["x"]), [1.0, 2.0])
    _heads(dump)
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    features = dump.get_graph_helper(ModeKeys.TRAIN).import_input_fn(dump.train.input_fn)
    (features, label), hooks = dump_utils.parse_input_fn_result(features)
    assert label is None and sorted(features) == ["label", "x"]
    assert [type(hook) for hook in hooks] == [graph_utils.DatasetInitHook]
    hooks[0].after_create_session(session, None)
    np.testing.assert_array_equal(session.run(features["label"]), [3.0])


# The demo's model.


def _ffm_params():
  params = model.FFMParams().task()
  params.train.per_replica_batch_size = 16
  return params


@pytest.fixture(scope="module")
def ffm_dir(tmp_path_factory):
  """Checkpoints of the trained demo model."""
  directory = str(tmp_path_factory.mktemp("ffm"))
  cpu_training.local_train(_ffm_params(), model_dir=directory, steps=20, remove_model_dir_if_exists=False)
  return directory


def _ffm_training(**settings):
  config = cpu_training.CpuTrainingConfig(
    embedding_prefetch_capacity=0, enable_embedding_postpush=False, save_checkpoints_steps=100, **settings
  )
  return cpu_training.CpuTraining(config, _ffm_params().instantiate())


def _build_ffm(training, mode, directory):
  """(spec, hooks) of the original graph."""
  v1.train.get_or_create_global_step()
  (features, _), hooks = dump_utils.parse_input_fn_result(training.create_input_fn(mode)())
  config = tf_estimator.RunConfig(model_dir=directory)
  return training.create_model_fn()(features=features, mode=mode, config=config), hooks


@pytest.mark.parametrize("mode", [ModeKeys.TRAIN, ModeKeys.PREDICT])
@pytest.mark.parametrize("fuse", [True, False], ids=["combined", "fid by fid"])
def test_the_demo_model_gives_the_same_numbers(dump, ffm_dir, tmp_path, mode, fuse):
  training = _ffm_training(fuse_lookups=fuse)
  with graph_values.new_graph():
    spec, hooks = _build_ffm(training, mode, ffm_dir)
    tensor = spec.loss if mode == ModeKeys.TRAIN else spec.predictions
    expected = graph_values.values(ffm_dir, tensor, hooks)
  assert len({np.asarray(value).tobytes() for value in expected}) == 4
  dump.dump(str(tmp_path / "dump"))
  dump.load(str(tmp_path / "dump"))
  proto = dump.train if mode == ModeKeys.TRAIN else dump.infer

  def tensor_of(rebuilt):
    return rebuilt.loss if mode == ModeKeys.TRAIN else rebuilt.predict[0]

  # The whole graph, with its input.
  with graph_values.new_graph():
    rebuilt = dump.get_graph_helper(mode).import_model_fn({}, proto)
    hooks = [graph_utils.DatasetInitHook(make) for make in v1.get_collection("mkiter")]
    np.testing.assert_allclose(graph_values.values(ffm_dir, tensor_of(rebuilt), hooks), expected, rtol=1e-6)
  # The input, and the model on it.
  with graph_values.new_graph():
    helper = dump.get_graph_helper(mode)
    features = helper.import_input_fn(proto.input_fn)
    (features, _), hooks = dump_utils.parse_input_fn_result(features)
    given = helper.input_map(proto.input_fn.output_features, features)
    rebuilt = helper.import_model_fn(given, proto)
    iterators = [op for op in v1.get_default_graph().get_operations() if op.type == "IteratorV2"]
    assert len(iterators) == 1
    found = graph_values.values(ffm_dir, tensor_of(rebuilt), hooks)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_demo_model_serves_the_same_numbers(dump, ffm_dir, tmp_path):
  training = _ffm_training()
  np.random.seed(3)
  requests = [generate_ffm_example([5] * 6) for _ in range(8)]
  with graph_values.new_graph():
    receiver = dump.record_receiver(training.create_serving_input_receiver_fn())()
    config = tf_estimator.RunConfig(model_dir=ffm_dir)
    spec = training.create_model_fn()(features=receiver.features, mode=ModeKeys.PREDICT, config=config)
    feed = {receiver.receiver_tensors["instances"]: requests}
    (expected,) = graph_values.values(ffm_dir, spec.predictions, [], 1, feed)
  assert np.ptp(expected) > 1e-3
  dump.dump(str(tmp_path / "dump"))
  dump.load(str(tmp_path / "dump"))
  with graph_values.new_graph():
    helper = dump.get_graph_helper(ModeKeys.PREDICT)
    receiver = helper.import_receiver_fn(dump.infer.serving_input_receiver_fn)
    given = helper.input_map(dump.infer.serving_input_receiver_fn.features, receiver.features)
    rebuilt = helper.import_model_fn(given, dump.infer)
    feed = {receiver.receiver_tensors["instances"]: requests}
    (found,) = graph_values.values(ffm_dir, rebuilt.predict[0], [], 1, feed)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
