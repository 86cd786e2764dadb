# SPDX-License-Identifier: Apache-2.0
"""Standalone exports: signatures, tables as assets, predictions in other sessions and processes."""

import os
import re
import subprocess
import sys
import types

from monolith.native_training import distributed_ps_factory
from monolith.native_training import multi_hash_table_ops
from monolith.native_training import test_utils
from monolith.native_training import tf_estimator
from monolith.native_training.model_export import _saved_model_writer
from monolith.native_training.model_export import export_context
from monolith.native_training.model_export import saved_model_exporters

import numpy as np
import pytest
import tensorflow as tf

DEFAULT = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


class _Model:
  """A table of dim 2 and one of dim 1, and a dense variable; fid 0 = [1, 2] and [1], weight 3."""

  def __init__(self, num_ps=0, export_outputs=None):
    self.num_ps = num_ps
    self.modes = []
    self.export_outputs = export_outputs

  def __call__(self, features, mode, config):
    del features
    self.modes.append(export_context.EXPORT_MODE)
    self.config = config
    configs = {
      "table": test_utils.generate_test_hash_table_config(2),
      "mtable": test_utils.generate_test_hash_table_config(1),
    }
    table = distributed_ps_factory.create_native_multi_hash_table(self.num_ps, configs, None)
    weight = tf.compat.v1.get_variable("weight", [], initializer=tf.compat.v1.ones_initializer())
    if mode == tf_estimator.ModeKeys.PREDICT:
      ids = tf.constant([0, 7], tf.int64)
      rows = table.lookup({"table": ids, "mtable": ids})
      outputs = self.export_outputs or {DEFAULT: rows["table"] * weight, "mtable/lookup": {"rows": rows["mtable"]}}
      return tf_estimator.EstimatorSpec(
        mode,
        predictions=rows["table"],
        export_outputs={k: tf_estimator.export.PredictOutput(v) for k, v in outputs.items()},
      )
    table = table.assign_add(
      {
        "table": (tf.constant([0], tf.int64), tf.constant([[1.0, 2.0]])),
        "mtable": (tf.constant([0], tf.int64), tf.constant([[1.0]])),
      }
    )
    with tf.control_dependencies([table.as_op()]):
      return tf.compat.v1.assign(weight, 3.0).op


def _receiver():
  return tf_estimator.export.ServingInputReceiver({}, {"instances": tf.compat.v1.placeholder(tf.string, [None])})


@pytest.fixture(name="trained", params=[0, 2])
def _trained(request, tmp_path):
  """(model, model_dir) with a checkpoint of step 10."""
  model, model_dir = _Model(request.param), str(tmp_path / "model")
  _train(model, model_dir)
  return model, model_dir


def _train(model, model_dir):
  with tf.Graph().as_default():
    step = tf.compat.v1.train.create_global_step()
    train_op = model({}, tf_estimator.ModeKeys.TRAIN, None)
    listener = multi_hash_table_ops.MultiHashTableCheckpointSaverListener(os.path.join(model_dir, "model.ckpt"))
    listener.begin()
    saver = tf.compat.v1.train.Saver()
    with test_utils.ps_session(model.num_ps) if model.num_ps else tf.compat.v1.Session() as sess:
      sess.run(
        [
          tf.compat.v1.global_variables_initializer(),
          *[t.initializer for t in tf.compat.v1.get_collection("monolith_multi_hash_tables")],
        ]
      )
      sess.run(train_op)
      sess.run(tf.compat.v1.assign(step, 10))
      listener.before_save(sess, 10)
      saver.save(sess, os.path.join(model_dir, "model.ckpt"), 10)


def _predict(path, key=DEFAULT, output="output", feeds=None):
  with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
    meta_graph = tf.compat.v1.saved_model.load(sess, ["serve"], path)
    signature = meta_graph.signature_def[key]
    feeds = {signature.inputs[k].name: v for k, v in (feeds or {}).items()}
    return sess.run(signature.outputs[output].name, feeds)


def test_predicts_from_copied_tables(trained, tmp_path):
  model, model_dir = trained
  exporter = saved_model_exporters.StandaloneExporter(model, model_dir, str(tmp_path / "export"))
  path = exporter.export_saved_model(_receiver)
  assert isinstance(path, bytes) and path.startswith(str(tmp_path / "export").encode())
  assert model.modes[-1] is export_context.ExportMode.STANDALONE
  assert model.config.model_dir == model_dir
  assert not export_context.is_exporting()
  np.testing.assert_allclose(_predict(path), [[3, 6], [0, 0]])
  np.testing.assert_allclose(_predict(path, "mtable/lookup", "rows"), [[1], [0]])


def test_moved_export_brings_its_tables(trained, tmp_path):
  model, model_dir = trained
  exporter = saved_model_exporters.StandaloneExporter(model, model_dir, str(tmp_path / "export"))
  path = exporter.export_saved_model(_receiver).decode()
  os.rename(path, tmp_path / "moved")
  os.rename(model_dir, tmp_path / "gone")
  np.testing.assert_allclose(_predict(str(tmp_path / "moved")), [[3, 6], [0, 0]])
  assert any(name.startswith("MonolithMultiHashTable_") for name in os.listdir(tmp_path / "moved" / "assets"))
  assert not os.listdir(tmp_path / "export")


def test_shared_embedding_leaves_the_tables_where_they_are(trained, tmp_path):
  model, model_dir = trained
  exporter = saved_model_exporters.StandaloneExporter(model, model_dir, str(tmp_path / "export"), shared_embedding=True)
  path = exporter.export_saved_model(_receiver).decode()
  np.testing.assert_allclose(_predict(path), [[3, 6], [0, 0]])
  assert not os.path.exists(os.path.join(path, "assets"))


def test_loads_in_a_fresh_process_by_both_loaders(trained, tmp_path):
  model, model_dir = trained
  exporter = saved_model_exporters.StandaloneExporter(model, model_dir, str(tmp_path / "export"))
  path = exporter.export_saved_model(_receiver).decode()
  program = f"""
import monolith.native_training.runtime.ops.gen_monolith_ops
import tensorflow as tf
with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
  meta = tf.compat.v1.saved_model.load(sess, ['serve'], {path!r})
  print('v1', sess.run(meta.signature_def['serving_default'].outputs['output'].name).tolist())
model = tf.saved_model.load({path!r})
out = model.signatures['serving_default'](instances=tf.constant(['x']))
print('v2', out['output'].numpy().tolist())
"""
  done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines() == ["v1 [[3.0, 6.0], [0.0, 0.0]]", "v2 [[3.0, 6.0], [0.0, 0.0]]"]


def test_raw_assign_overwrites_rows(trained, tmp_path):
  model, model_dir = trained
  exporter = saved_model_exporters.StandaloneExporter(model, model_dir, str(tmp_path / "export"))
  path = exporter.export_saved_model(_receiver)
  suffix = "0" if model.num_ps else ""
  with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
    meta_graph = tf.compat.v1.saved_model.load(sess, ["serve"], path)
    assign = meta_graph.signature_def[f"MonolithMultiHashTable_{suffix}/raw_assign"]
    feeds = {
      assign.inputs["id"].name: [0],
      assign.inputs["id_split"].name: [0, 0, 1],
      assign.inputs["flat_value"].name: [10, 20],
    }
    assert sess.run(assign.outputs["result"].name, feeds) == 0
    output = meta_graph.signature_def[DEFAULT].outputs["output"].name
    np.testing.assert_allclose(sess.run(output), [[30, 60], [0, 0]])
    with pytest.raises(tf.errors.InvalidArgumentError):
      sess.run(assign.outputs["result"].name, {**feeds, assign.inputs["flat_value"].name: [1]})


def test_tables_of_two_servers_export_from_a_local_graph(tmp_path):
  _train(_Model(2), str(tmp_path / "model"))
  exporter = saved_model_exporters.StandaloneExporter(_Model(0), str(tmp_path / "model"), str(tmp_path / "export"))
  np.testing.assert_allclose(_predict(exporter.export_saved_model(_receiver)), [[3, 6], [0, 0]])


def test_versions_warmup_and_tf_config(trained, tmp_path, monkeypatch):
  model, model_dir = trained
  (tmp_path / "warmup").write_bytes(b"requests")
  seen = []
  monkeypatch.setenv("TF_CONFIG", '{"cluster": {}}')

  class Context:
    def __enter__(self):
      seen.append(os.environ.get("TF_CONFIG"))

    def __exit__(self, *_):
      seen.append("left")

  exporter = saved_model_exporters.StandaloneExporter(
    model, model_dir, str(tmp_path / "export"), warmup_file=str(tmp_path / "warmup"), export_context_list=[Context]
  )
  clock = types.SimpleNamespace(time=iter([5, 5, 6]).__next__, sleep=lambda seconds: None)
  monkeypatch.setattr(_saved_model_writer, "time", clock)
  first, second = exporter.export_saved_model(_receiver), exporter.export_saved_model(_receiver)
  assert sorted(os.listdir(os.path.dirname(first))) == [b"5", b"6"]
  assert second.endswith(b"/6")
  with open(os.path.join(second, b"assets.extra", b"tf_serving_warmup_requests"), "rb") as file:
    assert file.read() == b"requests"
  assert seen == [None, "left", None, "left"]
  assert os.environ["TF_CONFIG"] == '{"cluster": {}}'


def test_a_missing_checkpoint_variable_or_table_is_named(trained, tmp_path):
  model, model_dir = trained

  def make(m, d=model_dir):
    return saved_model_exporters.StandaloneExporter(m, d, str(tmp_path / "e"))

  with pytest.raises(ValueError, match="nowhere holds no checkpoint to export"):
    make(model, str(tmp_path / "nowhere")).export_saved_model(_receiver)

  def more_variables(features, mode, config):
    tf.compat.v1.get_variable("surplus", [])
    return model(features, mode, config)

  with pytest.raises(ValueError, match="does not hold what the model needs(.|\n)*surplus"):
    make(more_variables).export_saved_model(_receiver)

  def other_shape(features, mode, config):
    with tf.compat.v1.variable_scope(
      "", custom_getter=lambda getter, name, shape=None, **kwargs: getter(name, [1], **kwargs)
    ):
      return model(features, mode, config)

  with pytest.raises(ValueError, match=r"weight is \[\] there and \[1\] in the model"):
    make(other_shape).export_saved_model(_receiver)
  assert not export_context.is_exporting()
  with pytest.raises(ValueError, match="model.ckpt-11 has no tables"):
    make(model).export_saved_model(_receiver, os.path.join(model_dir, "model.ckpt-11"))
  assets = os.path.join(model_dir, "model.ckpt-10.assets")
  for name in os.listdir(assets):
    os.remove(os.path.join(assets, name))
  with pytest.raises(ValueError, match="holds nothing of multi hash table"):
    make(model).export_saved_model(_receiver)
  os.rmdir(assets)
  with pytest.raises(ValueError, match="has no tables"):
    make(model).export_saved_model(_receiver)


def _signatures(tmp_path, outputs=None, receiver=_receiver, predictions=None):
  """Signature names of a model without tables."""

  def model_fn(features, mode):
    del features
    one = tf.constant([1.0])
    exported = {k: tf_estimator.export.PredictOutput(one) for k in outputs} if outputs else None
    return tf_estimator.EstimatorSpec(
      mode, predictions=predictions(one) if predictions else one, export_outputs=exported
    )

  with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
    tf.compat.v1.train.create_global_step()
    sess.run(tf.compat.v1.global_variables_initializer())
    tf.compat.v1.train.Saver().save(sess, str(tmp_path / "m" / "model.ckpt"), 1)
  exporter = saved_model_exporters.StandaloneExporter(model_fn, str(tmp_path / "m"), str(tmp_path / "e"))
  path = exporter.export_saved_model(receiver)
  with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
    signatures = tf.compat.v1.saved_model.load(sess, ["serve"], path).signature_def
  found = {name: (sorted(s.inputs), sorted(s.outputs)) for name, s in signatures.items() if not name.startswith("__")}
  assert found.pop("hashtable_assign") == ([], [])
  return found


def test_one_prediction_is_called_output(tmp_path):
  assert _signatures(tmp_path) == {DEFAULT: (["instances"], ["output"])}


def test_predictions_by_head(tmp_path):
  assert _signatures(tmp_path, predictions=lambda t: {"click": t, "like": t}) == {
    DEFAULT: (["instances"], ["click", "like"])
  }


def test_bare_receiver_tensor_is_called_input(tmp_path):
  def receiver():
    return tf_estimator.export.ServingInputReceiver({}, tf.compat.v1.placeholder(tf.string, [None]))

  assert _signatures(tmp_path, receiver=receiver) == {DEFAULT: (["input"], ["output"])}


def test_a_lone_export_output_is_the_default_too(tmp_path):
  assert sorted(_signatures(tmp_path, ["only"])) == ["only", DEFAULT]


def test_several_outputs_without_default_are_refused(tmp_path):
  with pytest.raises(ValueError, match=r"\['a', 'b'\] but none is named 'serving_default'"):
    _signatures(tmp_path, ["a", "b"])


def test_receiver_of_something_else_is_refused(tmp_path):
  def receiver():
    return tf_estimator.export.ServingInputReceiver({}, {"x": "not a tensor"})

  with pytest.raises(ValueError, match=r"receiver_tensors\['x'\] is 'not a tensor', not a tensor"):
    _signatures(tmp_path, receiver=receiver)


def _receiver_of(rows):
  def receiver():
    return tf_estimator.export.ServingInputReceiver({}, {"ids": tf.compat.v1.placeholder(tf.int64, [rows, 2])})

  return receiver


def test_an_input_that_makes_one_batch_size_of_the_output_is_named(tmp_path, caplog):
  def frozen(_):
    return tf.zeros([64])

  assert _signatures(tmp_path, receiver=_receiver_of(64), predictions=frozen) == {DEFAULT: (["ids"], ["output"])}
  words = r"64 rows only: its input 'ids' has shape \[64, 2\], and its output 'output' .* shape \[None, 2\]"
  assert re.search(words, caplog.text)


@pytest.mark.parametrize("asked, answered", [(1, None), (64, None), (None, 64), (1, 64)])
def test_an_input_of_one_size_may_have_outputs_of_another(tmp_path, caplog, asked, answered):
  def predictions(_):
    return tf.compat.v1.placeholder_with_default(tf.zeros([answered or 8]), [answered])

  assert _signatures(tmp_path, receiver=_receiver_of(asked), predictions=predictions) == {
    DEFAULT: (["ids"], ["output"])
  }
  assert "rows only" not in caplog.text


def test_distributed_exporter_is_refused_by_name():
  with pytest.raises(ValueError, match="DistributedExporter is not supported yet"):
    saved_model_exporters.DistributedExporter(None, "m", "e")


def test_asset_base_is_made_once_a_graph():
  with tf.Graph().as_default() as graph:
    with tf.name_scope("somewhere"):
      base = saved_model_exporters.BaseExporter.create_asset_base()
    assert saved_model_exporters.BaseExporter.create_asset_base() is base
    assert base.name == "ASSET_BASE:0" and len(graph.get_collection("saved_model_assets")) == 1


def test_old_module_names_are_the_same_objects():
  import importlib

  sys.modules.setdefault("monolith.model_export", sys.modules["monolith.native_training.model_export"])
  old = importlib.import_module("monolith.model_export.saved_model_exporters")
  assert old.StandaloneExporter is saved_model_exporters.StandaloneExporter
  old = importlib.import_module("monolith.model_export.export_context")
  assert old.is_exporting is export_context.is_exporting
