# SPDX-License-Identifier: Apache-2.0
"""Evaluation, prediction and exports: one set of numbers, whichever way embeddings are looked up."""

from __future__ import annotations

import numpy as np
import pytest
from absl import flags

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training import cpu_training, entry, estimator, native_model, tf_estimator
from monolith.native_training._local_training import LocalTraining
from monolith.native_training.cpu_training import CpuTrainingConfig
from monolith.native_training.data import parsers
from monolith.native_training.model_export.export_context import ExportMode
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import tensorflow as tf  # isort: skip

ModeKeys = tf_estimator.ModeKeys
_BATCH, _STEPS, _KNOWN = 16, 6, 25
# Fids are of slot 0, so that what the column of that slot says of occurrences counts for all of them.
_FEATURES = ("fc_slot_0", "genres", "history", "shared", "user")
_PLAIN, _FUSED, _LAYOUT = {"fuse_lookups": False}, {"enable_fused_layout": False}, {"enable_fused_layout": True}
_OPS = {
  "plain": ("MonolithMultiHashTableLookupSlots", "MonolithFillWithOffsetMap"),
  "fused": ("MonolithMultiHashTableCombinedLookup", "MonolithCombineDealt"),
  "layout": ("MonolithEmbeddingToLayoutV5",),
}
_SETTINGS = {"plain": _PLAIN, "fused": _FUSED, "layout": _LAYOUT}


def _rows(seed, count, highest):
  """Fids of rows by feature; those from _KNOWN on are never trained."""
  random = np.random.default_rng(seed)
  lengths = {name: (1, 2) if name == "user" else (0, 5) for name in _FEATURES}
  return [{name: random.integers(0, highest, random.integers(*lengths[name])).tolist() for name in _FEATURES}
          for _ in range(count)]  # fmt: skip


def _example(row):
  example = example_pb2.Example(label=[float(sum(row["user"]) % 2)])
  for name, fids in row.items():
    example.named_feature.add(name=name).feature.fid_v2_list.value.extend(fids)
  example.line_id.req_time = 1000
  return example.SerializeToString()


def _example_batch(rows):
  batch = example_pb2.ExampleBatch(batch_size=len(rows))
  for name in _FEATURES:
    column = batch.named_feature_list.add(name=name)
    for row in rows:
      column.feature.add().fid_v2_list.value.extend(row[name])
  label = batch.named_feature_list.add(name="__LABEL__")
  for row in rows:
    label.feature.add().float_list.value.append(float(sum(row["user"]) % 2))
  return batch.SerializeToString()


def _instance(row):
  instance = proto_parser_pb2.Instance(label=[float(sum(row["user"]) % 2)])
  for name, fids in row.items():
    instance.feature.add(name=name, fid=fids)
  return instance.SerializeToString()


def _records(kind, rows):
  if kind == "example_batch":
    return [_example_batch(rows[at : at + _BATCH]) for at in range(0, len(rows), _BATCH)]
  return [(_example if kind == "example" else _instance)(row) for row in rows]


# The last one has no fid that any table knows.
_READ_ROWS = [*_rows(2, 2 * _BATCH + 5, 2 * _KNOWN), dict.fromkeys(_FEATURES, [_KNOWN + 1000])]


class _Model(native_model.MonolithModel):
  kind = "example"
  optimizer = entry.AdagradOptimizer(0.2, 0.1)

  def _slice_arguments(self):
    return entry.RandomUniformInitializer(-0.3, 0.3), self.optimizer, entry.Fp32Compressor()

  def _parse(self, records):
    if self.kind == "instance":
      found = parsers.parse_instances(records, fidv2_features=list(_FEATURES), dense_features=["label"])
    elif self.kind == "example":
      found = parsers.parse_examples(records, list(_FEATURES), ["label"])
    else:
      found = parsers.parse_example_batch(records, list(_FEATURES), ["label"])
    return {**found, "label": tf.reshape(found["label"], [-1])}

  def input_fn(self, mode):
    rows = _rows(1, _BATCH * _STEPS, _KNOWN) if mode == ModeKeys.TRAIN else _READ_ROWS
    dataset = tf.data.Dataset.from_tensor_slices(_records(self.kind, rows))
    return dataset.batch(1 if self.kind == "example_batch" else _BATCH).map(self._parse)

  def serving_input_receiver_fn(self):
    records = tf.compat.v1.placeholder(tf.string, [None], "records")
    return tf_estimator.export.ServingInputReceiver(self._parse(records), {"records": records})

  def lookups(self, mode):
    """Tensors of width 1 or so, whose sum is the logit."""
    del mode
    arguments = self._slice_arguments()
    pooled = ["user", "fc_slot_0", "shared", "genres"]
    deep = self.lookup_embedding_slice(pooled, "deep", 4, *arguments, out_type="concat")
    stacked = self.lookup_embedding_slice(pooled[:2], "deep", 4, *arguments, out_type="stack")
    (history,) = self.lookup_embedding_slice(["history"], "deep", 4, *arguments)
    bias = self.lookup_embedding_slice(pooled, "bias", 1, *arguments, out_type="add_n")
    return [
      tf.reduce_sum(tf.sin(3 * deep), 1),
      tf.reduce_sum(stacked[:, 0] * stacked[:, 1], 1),
      tf.reduce_mean(tf.cos(history), [1, 2]),
      bias[:, 0],
    ]

  def model_fn(self, features, mode):
    self.create_embedding_feature_column("history", max_seq_length=3)
    self.create_embedding_feature_column("fc_slot_0", occurrence_threshold=2)
    self.create_embedding_feature_column("shared", shared_name="fc_slot_0")
    self.create_embedding_feature_column("genres", combiner="reduce_mean")
    logits = tf.add_n(self.lookups(mode)) * tf.compat.v1.get_variable("w", initializer=1.0)
    loss = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(features["label"], logits))
    optimizer = tf.compat.v1.train.AdagradOptimizer(0.1)
    return native_model.EstimatorSpec(
      label=features["label"], pred=tf.sigmoid(logits), head_name="head", loss=loss, optimizer=optimizer
    )


class _OtherLookups(_Model):
  """Outside of training it looks up less, in another order, and joined otherwise."""

  def lookups(self, mode):
    terms = super().lookups(mode) if mode == ModeKeys.TRAIN else None
    if terms is not None:
      return terms
    arguments = self._slice_arguments()
    mixed = self.lookup_embedding_slice(["genres", "user"], "deep", 4, *arguments, out_type="concat")
    added = self.lookup_embedding_slice(["user", "fc_slot_0"], "deep", 4, *arguments, out_type="add_n")
    if mode == ModeKeys.EVAL:
      return [tf.reduce_sum(added, 1)]
    return [tf.reduce_sum(tf.sin(3 * mixed), 1), tf.reduce_sum(added, 1)]


class _Instances(_Model):
  kind = "instance"


class _ExampleBatches(_Model):
  kind = "example_batch"


def _instantiate(model_class):
  params = model_class.params()
  params.clip_norm = None
  params.train.per_replica_batch_size = _BATCH
  params.serving.export_mode = ExportMode.STANDALONE
  params.serving.shared_embedding = False
  return params.instantiate()


class _Tables(tf.compat.v1.train.SessionRunHook):
  """Keeps the ops of a graph, and the contents of all tables before the first run and after the last one."""

  def begin(self):
    graph = tf.compat.v1.get_default_graph()
    self.types = {op.type for op in graph.get_operations()}
    self.uses_of_filters = {
      reader.type
      for op in graph.get_operations()
      if "HashFilter" in op.type
      for value in op.outputs
      for reader in value.consumers()
    }
    tables = tf.compat.v1.get_collection("monolith_multi_hash_tables")
    self._contents = [table.export_entries() for table in tables]
    self.before = None

  def before_run(self, run_context):
    if self.before is None:
      self.before = run_context.session.run(self._contents)

  def end(self, session):
    self.after = session.run(self._contents)

  def check(self, path):
    assert any(op in self.types for op in _OPS[path]), sorted(t for t in self.types if "onolith" in t)
    others = {op for name, ops in _OPS.items() if name not in (path, "plain") for op in ops}
    assert not others & self.types
    # Tables are made with a filter; only updates ask it, and there are none.
    assert "MonolithHashFilter" in self.types
    files = {"MonolithHashFilterSave", "MonolithHashFilterRestore"}
    assert self.uses_of_filters - files == {"CreateMonolithMultiHashTable"}
    assert not any("Optimize" in op_type for op_type in self.types)
    assert sum(counts.sum() for _, counts, _ in self.before) > 50
    for before, after in zip(self.before, self.after, strict=True):
      for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def _train(model_class, directory, **settings):
  cpu_training.local_train_internal(
    _instantiate(model_class), CpuTrainingConfig(**settings), str(directory), steps=None
  )
  return directory


def _read(model_class, directory, path, num_ps=0, settings=None):
  """What evaluation and prediction give, by a path that `settings` ask for, or lead to."""
  config = CpuTrainingConfig(num_ps=num_ps, **(_SETTINGS[path] if settings is None else settings))
  hooks = [_Tables(), _Tables()]
  with LocalTraining(_instantiate(model_class), config, str(directory)) as local:
    metrics = local.evaluate(hooks=hooks[:1])
  with LocalTraining(_instantiate(model_class), config, str(directory)) as local:
    predictions = np.array([row["head"] if isinstance(row, dict) else row for row in local.predict(hooks=hooks[1:])])
  for hook in hooks:
    hook.check(path)
  return metrics, predictions


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """{model class: (directory, metrics, predictions) by the longest way}."""
  found = {}
  for model_class in (_Model, _OtherLookups, _Instances, _ExampleBatches):
    directory = _train(model_class, tmp_path_factory.mktemp(model_class.__name__), **_PLAIN)
    found[model_class] = (directory, *_read(model_class, directory, "plain"))
  return found


def _check(found, expected):
  metrics, predictions = found
  assert metrics.keys() == expected[0].keys() and {"head_auc", "loss"} <= metrics.keys()
  for name, value in expected[0].items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-6, err_msg=name)
  assert len(predictions) == len(_READ_ROWS) and np.ptp(predictions) > 0.1
  np.testing.assert_allclose(predictions, expected[1], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_unknown_fids_give_zeros(trained):
  directory, _, predictions = trained[_Model]
  # sin(0) and 0 * 0 are 0, the mean of cos(0) is 1.
  w = tf.train.load_variable(str(directory), "w")
  np.testing.assert_allclose(predictions[-1], 1 / (1 + np.exp(-w)), rtol=1e-6)
  np.testing.assert_allclose(trained[_OtherLookups][2][-1], 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["fused", "layout"])
def test_a_training_loop_that_evaluates_changes_no_table(tmp_path, path):
  class Evaluating(_Model):
    @classmethod
    def params(cls):
      p = super().params()
      p.mode = ModeKeys.EVAL
      return p

  hook = _Tables()
  _train(_Model, tmp_path)
  with LocalTraining(_instantiate(Evaluating), CpuTrainingConfig(**_SETTINGS[path]), str(tmp_path)) as local:
    local.train(hooks=[hook])
  hook.check(path)


@pytest.mark.slow
@pytest.mark.parametrize("path, num_ps", [("plain", 2), ("fused", 0), ("fused", 1), ("fused", 2), ("layout", 0),
                                          ("layout", 1), ("layout", 2)])  # fmt: skip
def test_evaluation_and_prediction_by_every_path(trained, path, num_ps):
  directory, *expected = trained[_Model]
  _check(_read(_Model, directory, path, num_ps), expected)


@pytest.mark.slow
@pytest.mark.parametrize("path, num_ps", [("fused", 0), ("fused", 2), ("layout", 0), ("layout", 2)])
def test_a_mode_that_looks_up_other_slices_than_training(trained, path, num_ps):
  directory, *expected = trained[_OtherLookups]
  _check(_read(_OtherLookups, directory, path, num_ps), expected)
  # The modes differ: this is not the model of the other test again.
  assert np.abs(expected[1] - trained[_Model][2]).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("model_class", [_Instances, _ExampleBatches])
def test_other_records_by_layout(trained, model_class):
  directory, *expected = trained[model_class]
  _check(_read(model_class, directory, "layout"), expected)
  # Labels and fids are those of the Examples.
  np.testing.assert_allclose(expected[1], trained[_Model][2], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("model_class", [_Model, _OtherLookups, _Instances, _ExampleBatches])
def test_all_kinds_of_records_get_layouts_unasked(tmp_path, trained, model_class):
  directory, *expected = trained[model_class]
  _check(_read(model_class, directory, "layout", settings={}), expected)
  _train(model_class, tmp_path)
  _, predictions = _read(model_class, tmp_path, "layout", settings={})
  np.testing.assert_allclose(predictions, expected[1], rtol=0, atol=1e-5)


class _Compensated(_Model):
  """An optimizer that trains single fids, hence neither by combining ops nor by layouts."""

  optimizer = entry.DcOptimizer(entry.AdagradOptimizer(0.2, 0.1), 0.5)


@pytest.mark.slow
def test_what_cannot_train_by_a_path_is_read_by_it(tmp_path):
  _train(_Compensated, tmp_path)
  expected = _read(_Compensated, tmp_path, "plain")
  for path, num_ps in (("fused", 0), ("layout", 0), ("layout", 2)):
    _check(_read(_Compensated, tmp_path, path, num_ps), expected)
  exported = _estimator(_Compensated, tmp_path).export_saved_model(enable_fused_layout=True).decode()
  output, _ = _serve(exported, _records("example", _READ_ROWS))
  np.testing.assert_allclose(output, expected[1], rtol=0, atol=1e-6)
  with pytest.raises(ValueError, match="has a DcOptimizer, .* train without enable_fused_layout"):
    _train(_Compensated, tmp_path / "layout", **_LAYOUT)


def _estimator(model_class, directory, **settings):
  config = estimator.RunnerConfig(is_local=True, model_dir=str(directory), log_step_count_steps=0, **settings)
  return estimator.Estimator(_instantiate(model_class), config)


def _serve(path, records):
  """(outputs of the default signature, op types of the graph)."""
  with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
    signatures = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def
    signature = signatures["serving_default"]
    assert list(signature.inputs) == ["records"] and list(signature.outputs) == ["output"]
    assert tf.as_dtype(signature.inputs["records"].dtype) == tf.string
    assert any(name.endswith("/raw_assign") for name in signatures)
    output = session.run(signature.outputs["output"].name, {signature.inputs["records"].name: records})
    return output, {op.type for op in graph.get_operations()}


@pytest.mark.slow
@pytest.mark.parametrize(
  "model_class, path, num_ps",
  [(model, path, 0) for model in (_Model, _OtherLookups, _Instances, _ExampleBatches) for path in _SETTINGS]
  + [(_Model, "fused", 2), (_Model, "layout", 2)],
)
def test_exports_predict_what_prediction_does(trained, model_class, path, num_ps):
  directory, _, expected = trained[model_class]
  if num_ps:
    directory = _train(model_class, directory.parent / f"{path}-{num_ps}", num_ps=num_ps)
  settings = {"fuse_lookups": path != "plain", "num_ps": num_ps}
  exported = _estimator(model_class, directory, **settings).export_saved_model(enable_fused_layout=path == "layout")
  batch = model_class.kind == "example_batch"
  records = _records(model_class.kind, _READ_ROWS)
  requests = [[record] for record in records] if batch else [records, records[:1], records[3:5]]
  rows = [range(at, min(at + _BATCH, len(_READ_ROWS))) for at in range(0, len(_READ_ROWS), _BATCH)]
  rows = rows if batch else [range(len(records)), [0], [3, 4]]
  for request, numbers in zip(requests, rows, strict=True):
    output, types = _serve(exported.decode(), request)
    np.testing.assert_allclose(output, expected[list(numbers)], rtol=0, atol=1e-5 if num_ps else 1e-6)
  assert any(op in types for op in _OPS[path])
  assert ("MonolithEmbeddingToLayoutV5" in types) == (path == "layout")


@pytest.mark.slow
def test_a_shared_column_counts_for_every_row_of_a_request(trained):
  directory = trained[_ExampleBatches][0]
  batch = example_pb2.ExampleBatch.FromString(_example_batch(_READ_ROWS[:5]))
  for column in batch.named_feature_list:
    if column.name in ("user", "history"):
      column.type = example_pb2.SHARED
      del column.feature[1:]
  rows = [{**row, "user": _READ_ROWS[0]["user"], "history": _READ_ROWS[0]["history"]} for row in _READ_ROWS[:5]]
  outputs = []
  for path in _SETTINGS:
    exported = _estimator(_ExampleBatches, directory, **_SETTINGS[path]).export_saved_model(
      enable_fused_layout=path == "layout"
    )
    outputs.append(_serve(exported.decode(), [batch.SerializeToString()])[0])
    np.testing.assert_allclose(_serve(exported.decode(), [_example_batch(rows)])[0], outputs[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(outputs[-1], outputs[0], rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("by_layout", [False, True])
def test_served_tables_are_configured_for_serving(trained, by_layout):
  trainer = _estimator(_Model, trained[_Model][0], skip_zero_embedding_when_serving=True)
  path = trainer.export_saved_model(enable_fused_layout=by_layout).decode()
  with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
    tf.compat.v1.saved_model.load(session, ["serve"], path)
    (created,) = [op for op in graph.get_operations() if op.type == "CreateMonolithMultiHashTable"]
    configs = embedding_hash_table_pb2.MultiEmbeddingHashTableConfig.FromString(session.run(created.inputs[0]))
    filters = {op.type for op in graph.get_operations() if "Filter" in op.type}
  assert len(configs.configs) == 4
  for config in configs.configs:
    assert config.skip_zero_embedding
    assert config.entry_config.entry_type == embedding_hash_table_pb2.EntryConfig.SERVING
  assert filters == {"MonolithDummyHashFilter"}


class _ParsedRequests(_Model):
  """Its receiver takes fids, though its input keeps records."""

  def serving_input_receiver_fn(self):
    with parsers.ParserCtx():
      return super().serving_input_receiver_fn()


@pytest.mark.slow
@pytest.mark.parametrize("model_class, by_layout", [(_Model, True), (_ParsedRequests, False)])
def test_a_training_by_layouts_exports_by_layouts_where_requests_are_records(tmp_path, model_class, by_layout):
  model = _instantiate(model_class)
  model.p.serving.export_when_saving = True
  cpu_training.local_train_internal(model, CpuTrainingConfig(**_LAYOUT), str(tmp_path), steps=None)
  (path,) = [str(p) for p in (tmp_path / "exported_models").iterdir() if p.is_dir()]
  output, types = _serve(path, _records("example", _READ_ROWS))
  assert ("MonolithEmbeddingToLayoutV5" in types) == by_layout
  assert ("MonolithMultiHashTableCombinedLookup" in types) == (not by_layout)
  with LocalTraining(_instantiate(_Model), CpuTrainingConfig(**_PLAIN), str(tmp_path)) as local:
    np.testing.assert_allclose(output, np.array(list(local.predict())), rtol=0, atol=1e-6)


class _Flat(native_model.MonolithModel):
  """Fids of version 1 in the flat list of Instances; those of slot 1 under a name that the feature list gives."""

  def _parse(self, records):
    found = parsers.parse_instances(records, fidv1_features=[1, 2], dense_features=["label"])
    return {**found, "label": tf.reshape(found["label"], [-1])}

  def input_fn(self, mode):
    instance = proto_parser_pb2.Instance(fid=[(1 << 54) | 7, (1 << 54) | 8, (2 << 54) | 7], label=[1.0])
    count = 3 if mode == ModeKeys.TRAIN else 1
    return tf.data.Dataset.from_tensors(instance.SerializeToString()).batch(1).map(self._parse).repeat(count)

  def serving_input_receiver_fn(self):
    records = tf.compat.v1.placeholder(tf.string, [None], "records")
    return tf_estimator.export.ServingInputReceiver(self._parse(records), {"records": records})

  def model_fn(self, features, mode):
    arguments = (entry.ZerosInitializer(), entry.SgdOptimizer(1.0), entry.Fp32Compressor())
    found = self.lookup_embedding_slice(["f_user", "fc_slot_2"], "vec", 2, *arguments, out_type="concat")
    pred = tf.reduce_sum(found * [1.0, 1.0, 100.0, 100.0], 1)
    optimizer = tf.compat.v1.train.GradientDescentOptimizer(1.0)
    return native_model.EstimatorSpec(
      label=features["label"], pred=pred, head_name="head", loss=tf.reduce_sum(found), optimizer=optimizer,
      classification=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("trained_by", ["plain", "layout"])
def test_fids_of_version_1_stay_so_on_every_path(tmp_path, tmp_path_factory, monkeypatch, trained_by):
  names = tmp_path_factory.mktemp("names") / "feature_list.conf"
  names.write_text("feature_name=f_user; slot=1\n")
  if "feature_list" not in flags.FLAGS:
    flags.DEFINE_string("feature_list", None, "List of features.")
  monkeypatch.setattr(flags.FLAGS["feature_list"], "_value", str(names))
  _train(_Flat, tmp_path, **_SETTINGS[trained_by])
  # Three steps of gradient 1: two fids of width 2 at -3, and one at -3 a hundred times.
  expected = [2 * 2 * -3 + 100 * 2 * -3]
  for path, settings in _SETTINGS.items():
    with LocalTraining(_instantiate(_Flat), CpuTrainingConfig(**settings), str(tmp_path)) as local:
      np.testing.assert_allclose(list(local.predict()), expected, err_msg=path)
  other = proto_parser_pb2.Instance(fid=[(2 << 54) | 7]).SerializeToString()
  for by_layout in (False, True):
    path = _estimator(_Flat, tmp_path).export_saved_model(enable_fused_layout=by_layout)
    np.testing.assert_allclose(_serve(path.decode(), [other])[0], [-600])


@pytest.mark.slow
def test_a_parsed_receiver_or_input_needs_no_layout(trained):
  directory, _, expected = trained[_Model]

  class Parsed(_Model):
    def _parse(self, records):
      with parsers.ParserCtx():
        return super()._parse(records)

  with pytest.raises(ValueError, match="needs a serving_input_receiver_fn that parses serialized records by"):
    _estimator(Parsed, directory).export_saved_model(enable_fused_layout=True)
  with LocalTraining(_instantiate(Parsed), CpuTrainingConfig(**_LAYOUT), str(directory)) as local:
    hook = _Tables()
    np.testing.assert_allclose(list(local.predict(hooks=[hook])), expected, rtol=0, atol=1e-6)
  hook.check("fused")


class _Reading(_Model):
  """Reads the embeddings of single fids, but only while it predicts."""

  def model_fn(self, features, mode):
    spec = super().model_fn(features, mode)
    if mode == ModeKeys.PREDICT:
      # As many rows as fids, as wide as all slices.
      assert features["history"].shape.as_list() == [None, 4]
      spec = spec._replace(pred=spec.pred + 0 * tf.reduce_sum(features["history"]))
    return spec


@pytest.mark.slow
def test_single_fids_are_there_for_the_mode_that_reads_them(trained):
  directory, metrics, expected = trained[_Model]
  with LocalTraining(_instantiate(_Reading), CpuTrainingConfig(), str(directory)) as local:
    hook, other = _Tables(), _Tables()
    np.testing.assert_allclose(list(local.predict(hooks=[hook])), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(local.evaluate(hooks=[other])["loss"], metrics["loss"], rtol=1e-6)
  hook.check("plain")
  other.check("layout")
  with pytest.raises(KeyError, match="history"):
    _estimator(_Reading, directory).export_saved_model(enable_fused_layout=True)


def test_a_slice_that_training_does_not_have_is_named(tmp_path):
  class New(_Model):
    def lookups(self, mode):
      if mode == ModeKeys.PREDICT:
        self.lookup_embedding_slice(["user"], "new", 3, out_type="concat")
      return super().lookups(mode)

  for path, settings in _SETTINGS.items():
    with LocalTraining(_instantiate(New), CpuTrainingConfig(**settings), str(tmp_path)) as local:
      with pytest.raises(KeyError, match="met no layout 'new_" if path == "layout" else "met no embedding 'user:0_3'"):
        list(local.predict())


class _Stashing(_Model):
  """Takes a tensor of its receiver past the features."""

  def serving_input_receiver_fn(self):
    receiver = super().serving_input_receiver_fn()
    self.request = receiver.receiver_tensors["records"]
    return receiver

  def model_fn(self, features, mode):
    spec = super().model_fn(features, mode)
    if mode == ModeKeys.PREDICT:
      size = tf.strings.length(self.request)
      self.add_extra_output("size", {"size": size})
      spec = spec._replace(pred=spec.pred + 0 * tf.cast(size, tf.float32))
    return spec


@pytest.mark.slow
@pytest.mark.parametrize("path", ["fused", "layout"])
def test_a_model_that_does_not_run_over_placeholders_is_exported(trained, path, caplog):
  exported = _estimator(_Stashing, trained[_Model][0]).export_saved_model(enable_fused_layout=path == "layout")
  assert "A dry run of model_fn in mode infer failed" in caplog.text
  output, types = _serve(exported.decode(), _records("example", _READ_ROWS))
  np.testing.assert_allclose(output, trained[_Model][2], rtol=0, atol=1e-6)
  assert any(op in types for op in _OPS["layout" if path == "layout" else "plain"])


def test_layouts_without_a_lookup_by_slices_are_refused(tmp_path):
  class Nothing(_Model):
    def lookups(self, mode):
      terms = super().lookups(mode) if mode == ModeKeys.TRAIN else None
      return [tf.zeros([2])] if terms is None else terms

  with LocalTraining(_instantiate(Nothing), CpuTrainingConfig(**_LAYOUT), str(tmp_path)) as local:
    with pytest.raises(ValueError, match="nothing up by lookup_embedding_slice in mode 'infer'; switch it off"):
      list(local.predict())
