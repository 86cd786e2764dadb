# SPDX-License-Identifier: Apache-2.0
"""Random records, files and warm-up requests: read back by the parsers, PBDataset and TensorFlow Serving's messages."""

import re
import struct

import doctests
import numpy as np
import pb_records
import pytest
import record_framing

from idl.matrix.proto import example_pb2, feature_pb2, line_id_pb2, proto_parser_pb2
from monolith.native_training.data import datasets, parsers
from monolith.native_training.data.feature_list import Feature, FeatureList
from monolith.native_training.data.utils import get_slot_feature_name
from monolith.native_training.model_export import _data_files, _feature_meta, _feature_values, _made_up_records
from monolith.native_training.model_export import _prediction_logs, _serving_protos, data_gen_utils, export_context
from monolith.native_training.model_export.data_gen_utils import Draws, FeatureMeta, ParserArgs

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

V1, V2 = 54, 48


@pytest.mark.parametrize("module", [_data_files, _feature_meta, _feature_values, _made_up_records])
def test_examples_of_the_docstrings(module):
  doctests.run_examples(module)


# ---- fids ----


def test_fids_of_version_1_have_their_slot_on_top():
  fids = data_gen_utils.gen_fids_v1(1022, 100, rng=0)
  assert {fid >> V1 for fid in fids} == {1022} and len(set(fids)) == 100
  assert max(fid & data_gen_utils.MASK_V1 for fid in fids) > 1 << 53
  assert max(fids) < 1 << 64


@pytest.mark.parametrize("slot", [-1, 0, 1023, 5000])
def test_no_fids_of_version_1_outside_of_their_slots(slot):
  assert data_gen_utils.gen_fids_v1(slot, 3) == []


def test_fids_of_version_2_have_their_slot_on_top():
  fids = data_gen_utils.gen_fids_v2(32767, 100, rng=0)
  assert {fid >> V2 for fid in fids} == {32767} and len(set(fids)) == 100
  assert max(fid & data_gen_utils.MASK_V2 for fid in fids) > 1 << 47


@pytest.mark.parametrize("slot", [-1, 0, 32768, 65535])
def test_slots_that_version_2_does_not_hold_are_refused(slot):
  with pytest.raises(ValueError, match=rf"slot is {slot}; fids of version 2 have slots in \(0, 32768\)"):
    data_gen_utils.gen_fids_v2(slot, 1)


# ---- features ----


def test_metas_default_by_kind():
  metas = [
    FeatureMeta("f", slot=3),
    FeatureMeta("f"),
    FeatureMeta("uid"),
    FeatureMeta("cid"),
    FeatureMeta("sample_rate"),
  ]
  assert [(meta.shape, meta.dtype) for meta in metas] == [
    (-1, tf.int64), (1, tf.float32), (1, tf.int64), (1, tf.string), (1, tf.float32)
  ]  # fmt: skip
  assert FeatureMeta("f", shape=4, dtype=tf.int64).shape == 4
  with pytest.raises(ValueError, match="'f': shape is 0; it must be >= 1, or -1"):
    FeatureMeta("f", shape=0)


def _sizes(make, meta, drop_rate, n=300):
  """How many fids a feature gets, over n draws."""
  draws, sizes = Draws(0), []
  for _ in range(n):
    feature = make()
    data_gen_utils.fill_features(feature, meta, drop_rate, rng=draws)
    fids = feature.fid if make is feature_pb2.Feature else feature.fid_v2_list.value
    assert {fid >> V2 for fid in fids} <= {meta.slot}
    sizes.append(len(fids))
  return sizes


_METHOD = Feature(feature_name="f_m", method="Combine")


@pytest.mark.parametrize(
  "make, meta, drop_rate, expected",
  [
    (example_pb2.Feature, FeatureMeta("f", slot=7), 0, {1}),
    (example_pb2.Feature, FeatureMeta("f", slot=7), 0.25, {0, 1}),
    (example_pb2.Feature, FeatureMeta("f", slot=7), 1, {0}),
    (example_pb2.Feature, FeatureMeta("f", slot=1), 1, {1}),
    (example_pb2.Feature, FeatureMeta("f", slot=200), 1, {1}),
    (example_pb2.Feature, FeatureMeta("f_recent_x", slot=7), 0.5, {0, 1, 2}),
    (example_pb2.Feature, FeatureMeta("f_cp", slot=7), 0.5, {0, 1, 2}),
    (example_pb2.Feature, FeatureMeta("f_m", slot=7, extra=_METHOD), 0.5, {0, 1, 2}),
    (example_pb2.Feature, FeatureMeta("f_m", slot=7, extra=_METHOD), 0, {1}),
    (example_pb2.Feature, FeatureMeta("f", slot=7, shape=3), 1, {3}),
    (feature_pb2.Feature, FeatureMeta("f", slot=7), 1, {1}),
    (feature_pb2.Feature, FeatureMeta("f_a-f_b", slot=7), 0.5, {0, 1, 2}),
    (feature_pb2.Feature, FeatureMeta("f_a-f_b", slot=7), 0, {1}),
    (feature_pb2.Feature, FeatureMeta("f_m", slot=7, extra=_METHOD), 0.5, {1}),
  ],
)
def test_numbers_of_fids(make, meta, drop_rate, expected):
  sizes = _sizes(make, meta, drop_rate)
  assert set(sizes) == expected
  if expected == {0, 1}:
    assert np.mean(sizes) == pytest.approx(1 - drop_rate, abs=0.08)


@pytest.mark.parametrize("dtype, field", [
  (tf.float32, "float_list"), (tf.float64, "double_list"), (tf.int64, "int64_list"), (tf.int32, "int64_list"),
  (tf.string, "bytes_list"),
])  # fmt: skip
def test_dense_values_of_examples(dtype, field):
  feature = example_pb2.Feature()
  data_gen_utils.fill_features(feature, FeatureMeta("d", shape=40, dtype=dtype), 0.5, rng=0)
  assert [f.name for f, _ in feature.ListFields()] == [field]
  values = getattr(feature, field).value
  assert len(values) == 40 and len(set(values)) > 5
  if dtype.is_floating:
    assert 0 <= min(values) < 0.2 and 0.8 < max(values) < 1
  if dtype.is_integer:
    assert set(values) <= set(range(10))


def test_dense_values_of_instances():
  for dtype, field in ((tf.float32, "float_value"), (tf.int64, "int64_value"), (tf.string, "bytes_value")):
    feature = feature_pb2.Feature()
    data_gen_utils.fill_features(feature, FeatureMeta("d", shape=2, dtype=dtype), 0.5, rng=0)
    assert [f.name for f, _ in feature.ListFields()] == ["name", field]
    assert len(getattr(feature, field)) == 2


def test_what_cannot_be_filled():
  with pytest.raises(ValueError, match="LineId is no Feature of an Example"):
    data_gen_utils.fill_features(line_id_pb2.LineId(), FeatureMeta("f", slot=7))
  with pytest.raises(ValueError, match="feature 'd' has type complex64"):
    data_gen_utils.fill_features(example_pb2.Feature(), FeatureMeta("d", dtype=tf.complex64))


# ---- LineId ----


def test_line_ids_by_default():
  actions = set()
  for seed in range(100):
    line_id = line_id_pb2.LineId()
    data_gen_utils.fill_line_id(line_id, rng=Draws(seed, now=1234))
    assert line_id.uid >> V2 == 1 and line_id.item_id >> V2 == 200
    assert (line_id.req_time, line_id.sample_rate, len(line_id.actions)) == (1234, 1.0, 1)
    assert len(line_id.ListFields()) == 5
    actions.update(line_id.actions)
  assert actions == set(range(11))


def test_line_ids_with_further_fields():
  line_id = line_id_pb2.LineId()
  names = [
    "chnid",
    "device_type",
    "is_draw",
    "rank",
    FeatureMeta("pre_actions", shape=3),
    FeatureMeta("actions", shape=2),
  ]
  data_gen_utils.fill_line_id(line_id, names, hash_len=54, actions=[77], rng=0)
  assert list(line_id.actions) == [77, 77] and len(line_id.pre_actions) == 3
  assert line_id.HasField("is_draw") and line_id.HasField("rank") and re.fullmatch("[0-9a-f]{8}", line_id.device_type)
  assert line_id.uid >> V1 == 1 and line_id.item_id >> V1 == 200
  with pytest.raises(ValueError, match="extra feature 'colour' is not in line id, which has uid"):
    data_gen_utils.fill_line_id(line_id, ["colour"])


# ---- records, by the parsers ----

_DENSE = [FeatureMeta("label", shape=2), FeatureMeta("instance_weight"), FeatureMeta("age", shape=3),
          FeatureMeta("count", dtype=tf.int64)]  # fmt: skip
_DENSE_COLUMNS = (["label", "instance_weight", "age", "count"], [2, 1, 3, 1], [tf.float32] * 3 + [tf.int64],
                  ["uid", "chnid", "actions"], [1, 1, 1])  # fmt: skip


def _check_dense(parsed, rows):
  assert parsed["label"].shape == (rows, 2) and set(np.ravel(parsed["label"])) <= {0, 1}
  assert np.all((parsed["instance_weight"] > 0) & (parsed["instance_weight"] <= 1))
  assert parsed["age"].shape == (rows, 3) and len(np.unique(parsed["age"])) == 3 * rows
  assert np.all((parsed["count"] >= 0) & (parsed["count"] < 10))
  assert np.all(parsed["uid"].numpy() >> V2 == 1)


def test_instances_parse():
  args = dict(dense_features=_DENSE, extra_features=["uid", "chnid"])
  draws = Draws(0)
  instances = [
    data_gen_utils.gen_instance(
      [1, 3, 200, 0], ["slot_7", "slot_8-slot_9", FeatureMeta("f_z", slot=12)], rng=draws, **args
    )
    for _ in range(50)
  ]
  parsed = parsers.parse_instances(
    tf.constant([i.SerializeToString() for i in instances]), [1, 3, 200], ["slot_7", "f_z"], *_DENSE_COLUMNS
  )
  _check_dense(parsed, 50)
  flat = [(get_slot_feature_name(slot), slot) for slot in (1, 3, 200)]
  for name, slot in (*flat, ("slot_7", 7), ("f_z", 12)):
    assert set((parsed[name].values.numpy() >> V2).tolist()) == {slot}
    sizes = set(parsed[name].row_lengths().numpy().tolist())
    assert sizes == ({0, 1, 2, 3} if slot == 3 else {1})
  assert not any(fid >> V1 == 0 for instance in instances for fid in instance.fid)


def test_examples_parse():
  draws = Draws(0)
  examples = [
    data_gen_utils.gen_example(["slot_1", "slot_7"], _DENSE, ["chnid"], drop_rate=0.5, actions=[3], rng=draws)
    for _ in range(50)
  ]
  strings = tf.constant([e.SerializeToString() for e in examples])
  parsed = parsers.parse_examples(strings, ["slot_1", "slot_7"], *_DENSE_COLUMNS)
  _check_dense(parsed, 50)
  assert np.all(parsed["actions"].numpy() == 3)
  assert set(parsed["slot_1"].row_lengths().numpy()) == {1} and set(parsed["slot_7"].row_lengths().numpy()) == {0, 1}
  assert set(parsed["slot_7"].values.numpy() >> V2) == {7}


def test_example_batches_parse():
  batch = data_gen_utils.gen_example_batch(["slot_1", "slot_7"], _DENSE, ["chnid"], None, 50, 0.5, [3], rng=0)
  names = [column.name for column in batch.named_feature_list]
  assert names == ["slot_1", "slot_7", "age", "count", "__LINE_ID__", "__LABEL__", "instance_weight"]
  assert batch.batch_size == 50 and all(len(column.feature) == 50 for column in batch.named_feature_list)
  parsed = parsers.parse_example_batch(tf.constant(batch.SerializeToString()), ["slot_1", "slot_7"], *_DENSE_COLUMNS)
  _check_dense(parsed, 50)
  assert np.all(parsed["actions"].numpy() == 3)
  assert set(parsed["slot_7"].row_lengths().numpy()) == {0, 1} and set(parsed["slot_7"].values.numpy() >> V2) == {7}
  with pytest.raises(ValueError, match="batch_size is 0"):
    data_gen_utils.gen_example_batch(["slot_1"], batch_size=0)


def test_slots_come_from_the_feature_list_and_else_from_the_name():
  with tf.Graph().as_default():
    features = FeatureList([], {}, {}, {"f_city": Feature(feature_name="f_city", slot=310)})
  example = data_gen_utils.gen_example(["f_city", "slot_9"], feature_list=features)
  assert [c.feature.fid_v2_list.value[0] >> V2 for c in example.named_feature] == [310, 9]
  instance = data_gen_utils.gen_instance(["f_city"], ["slot_9"], feature_list=features, rng=0)
  assert {fid >> V1 for fid in instance.fid} <= {310}
  assert instance.feature[0].fid[0] >> V2 == 9
  with pytest.raises(ValueError, match="sparse feature 'fc_slot_x' has no slot"):
    data_gen_utils.gen_example(["fc_slot_x"])


def test_one_seed_gives_one_record():
  make = lambda rng: data_gen_utils.gen_example(["slot_7"], ["age"], ["cid"], rng=rng).SerializeToString()  # noqa: E731
  assert make(Draws(5, now=1)) == make(Draws(5, now=1)) != make(Draws(6, now=1))
  assert make(Draws(np.random.default_rng(5), now=1)) == make(Draws(5, now=1))


# ---- files ----


def test_headers():
  for text in ("", "abc", "a source whose hash overflows 32 bits", "日本𝄞"):
    units = struct.unpack(f"<{len(text.encode('utf-16-le')) // 2}H", text.encode("utf-16-le"))
    expected = pb_records.java_hash("".join(map(chr, units)))
    assert data_gen_utils.lg_header(text) == b"\0" + struct.pack("<I", expected)[:3] + bytes(4)
  assert data_gen_utils.lg_header(None) == bytes(8)
  assert data_gen_utils.sort_header(True, False, False) == bytes(8)
  assert data_gen_utils.sort_header(True, True, False) == bytes(16)
  assert data_gen_utils.sort_header(True, False, True) == bytes(24)
  for dump, prefix in ((True, False), (False, True), (True, True), (False, False)):
    with pytest.raises(ValueError, match=f"kafka_dump {dump}, kafka_dump_prefix {prefix}; streams without a sort id"):
      data_gen_utils.sort_header(False, dump, prefix)


@pytest.mark.parametrize("kind, count", [("instance", 12), ("example", 12), ("example_batch", 3)])
@pytest.mark.parametrize(
  "headers",
  [
    {"sort_id": True},
    {"sort_id": True, "kafka_dump": True},
    {"sort_id": True, "kafka_dump_prefix": True},
    {"sort_id": True, "kafka_dump": True, "kafka_dump_prefix": True},
    {"sort_id": False, "source": "clicks"},
  ],
  ids=str,
)
def test_files_are_read_by_pb_dataset(tmp_path, kind, count, headers):
  args = ParserArgs(
    fidv1_features=[1], fidv2_features=["slot_7"], sparse_features=["slot_7"], batch_size=4, variant_type=kind
  )
  path = str(tmp_path / "made" / "data.pb")
  assert data_gen_utils.gen_random_data_file(path, args, num_batch=3, rng=0, actions=[5], **headers) == path
  framing = {
    "has_sort_id": headers["sort_id"],
    "lagrangex_header": not headers["sort_id"],
    "kafka_dump": headers.get("kafka_dump", False),
    "kafka_dump_prefix": headers.get("kafka_dump_prefix", False),
  }
  kinds = {"input_pb_type": kind, "output_pb_type": datasets.PbType.PLAINTEXT}
  payloads = [element.numpy() for element in datasets.PBDataset(path, **kinds, **framing)]
  message = {"instance": proto_parser_pb2.Instance, "example": example_pb2.Example,
             "example_batch": example_pb2.ExampleBatch}[kind]  # fmt: skip
  records = [message.FromString(payload) for payload in payloads]
  assert len(records) == count and len(set(payloads)) == count
  if kind == "example_batch":
    assert all(record.batch_size == 4 for record in records)
  else:
    assert all(list(record.line_id.actions) == [5] for record in records)
  if kind == "instance":
    batches = datasets.PBDataset(path, input_pb_type=kind, **framing).batch(4)
    parsed = [parsers.parse_instances(batch, [1], ["slot_7"], ["label"]) for batch in batches]
    assert len(parsed) == 3 and all(set((p["slot_7"].values.numpy() >> V2).tolist()) == {7} for p in parsed)


def test_files_that_are_not_written(tmp_path):
  args = ParserArgs(sparse_features=["slot_7"])
  with pytest.raises(ValueError, match="num_batch is 0"):
    data_gen_utils.gen_random_data_file(str(tmp_path / "f"), args, num_batch=0)
  with pytest.raises(ValueError, match="sort_id is False, kafka_dump True"):
    data_gen_utils.gen_random_data_file(str(tmp_path / "f"), args, sort_id=False, kafka_dump=True)
  assert not list(tmp_path.iterdir())


# ---- requests ----


def test_parser_args_come_from_the_graph():
  with tf.Graph().as_default() as graph:
    records = tf.compat.v1.placeholder(tf.string, [None])
    parsers.parse_instances(records, [5])
    parsers.parse_instances(
      records, [1, 200], ["slot_7"], ["label", "age"], [1, 2], [tf.float32, tf.int64], ["uid", "actions"], [1, 2]
    )
    graph.add_to_collection("signature_name", "extra")
    graph.add_to_collection("signature_name", "extra")
    args = ParserArgs()
    assert ParserArgs(fidv1_features=[8]).fidv1_features == [8]
  assert (args.model_name, args.batch_size, args.max_records, args.drop_rate) == ("entry", 64, 1000, 0.5)
  assert (args.fidv1_features, args.fidv2_features) == ([1, 200], ["slot_7"])
  assert (args.dense_features, args.dense_feature_shapes) == (["label", "age"], [1, 2])
  assert args.dense_feature_types == [tf.float32, tf.int64]
  assert (args.extra_features, args.extra_feature_shapes) == (["uid", "actions"], [1, 2])
  assert args.signature_name == ["serving_default", "extra"]
  assert args.variant_type == "instance" and args.input_name == "instances"
  args.drop_dense("label")
  assert (args.dense_features, args.dense_feature_shapes, args.dense_feature_types) == (["age"], [2], [tf.int64])


def test_parser_args_that_make_no_sense():
  with pytest.raises(ValueError, match="batch_size is 8 and max_records 8"):
    ParserArgs(batch_size=8, max_records=8)
  with pytest.raises(ValueError, match="variant_type is 'json'; use one of instance, example, example_batch"):
    ParserArgs(variant_type="json")
  assert ParserArgs(sparse_features=["a"]).variant_type == "example"
  assert ParserArgs(variant_type="examplebatch").input_name == "example_batch"


@pytest.mark.parametrize("kind, input_name, shape", [
  ("instance", "instances", 64), ("example", "examples", 64), ("example_batch", "example_batch", 1)
])  # fmt: skip
def test_requests(kind, input_name, shape):
  args = ParserArgs(fidv1_features=[1], sparse_features=["slot_7"], variant_type=kind, signature_name={"second"})
  logs = list(data_gen_utils.gen_prediction_log(args, rng=0))
  assert len(logs) == 15
  assert all(isinstance(log, prediction_log_pb2.PredictionLog) for log in logs)
  requests = [log.predict_log.request for log in logs]
  names = [request.model_spec.signature_name for request in requests]
  assert names == (["serving_default", "second"] * 8)[:15]
  for request in requests:
    assert request.model_spec.name == "entry" and list(request.inputs) == [input_name] and not request.output_filter
    rows = tf.make_ndarray(request.inputs[input_name])
    assert rows.shape == (shape,)
    if kind == "example_batch":
      assert example_pb2.ExampleBatch.FromString(rows[0]).batch_size == 64


def test_too_many_signatures_for_the_requests():
  args = ParserArgs(sparse_features=["a"], signature_name=["serving_default", "b", "c"], batch_size=4, max_records=8)
  with pytest.raises(ValueError, match="2 requests .* are not enough for the 3 signatures"):
    next(data_gen_utils.gen_prediction_log(args))


def _export_graph(outputs, inputs=None, extra=None):
  """Inside an export: a graph with a parse op and a signature."""
  graph = tf.compat.v1.get_default_graph()
  records = tf.compat.v1.placeholder(tf.string, [None])
  parsers.parse_examples(records, ["slot_7"], ["label", "age"], [1, 2])
  context = export_context.get_current_export_ctx()
  tensors = {name: tf.constant(0.0) for name in outputs}
  context.add_signature(graph, "serving_default", inputs or {"records": records}, tensors)
  if extra:
    context.add_signature(graph, extra, {"records": records}, tensors)


def _read(path):
  records = record_framing.tf_records(path.read_bytes())
  return [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]


@pytest.mark.parametrize("outputs, filters", [
  (["output"], [[]]), (["ctr"], [[], ["ctr"]]), (["ctr", "cvr"], [[], ["ctr"], ["cvr"]])
])  # fmt: skip
def test_a_warm_up_file_asks_for_every_output_of_the_default_signature(tmp_path, outputs, filters):
  path = tmp_path / "new" / "warmup"
  with export_context.enter_export_mode(export_context.ExportMode.STANDALONE), tf.Graph().as_default() as graph:
    _export_graph(outputs, extra="extra")
    graph.add_to_collection("signature_name", "gone")  # recorded by nobody
    assert data_gen_utils.gen_warmup_file(str(path), rng=0) == str(path)
  requests = _read(path)
  asked = {name: [] for name in ("serving_default", "extra", "gone")}
  for request in requests:
    asked[request.model_spec.signature_name].append(list(request.output_filter))
  assert asked == {"serving_default": filters * 5, "extra": [[]] * 5, "gone": [[]] * 5}
  assert list(requests[0].inputs) == ["records"]
  example = example_pb2.Example.FromString(tf.make_ndarray(requests[0].inputs["records"])[0])
  assert [column.name for column in example.named_feature] == ["slot_7", "age"]  # label alone is left out
  assert [p.name for p in path.parent.iterdir()] == ["warmup"]


def test_no_warm_up_file_for_graphs_that_parse_nothing(tmp_path):
  with tf.Graph().as_default():
    assert data_gen_utils.gen_warmup_file(str(tmp_path / "warmup")) is None
    parsers.parse_examples(tf.compat.v1.placeholder(tf.string, [None]), [], ["age"])
    assert data_gen_utils.gen_warmup_file(str(tmp_path / "warmup")) is None
  assert not list(tmp_path.iterdir())


def test_inputs_that_cannot_be_made_up_are_refused(tmp_path):
  with export_context.enter_export_mode(export_context.ExportMode.STANDALONE), tf.Graph().as_default():
    _export_graph(["output"], inputs={"age": tf.constant(1.0), "records": tf.constant("")})
    with pytest.raises(ValueError, match=r"takes age \(float32\), records \(string\); requests can be made up for one"):
      data_gen_utils.gen_warmup_file(str(tmp_path / "warmup"))
  assert not list(tmp_path.iterdir())


def test_more_requests_than_a_server_takes_are_refused(tmp_path):
  path = tmp_path / "warmup"
  log = _prediction_logs.predict_log("m", "s", "i", [b"row"])
  assert _prediction_logs.write_logs(str(path), [log] * 1000) == 1000
  before = path.read_bytes()
  with pytest.raises(ValueError, match="more than 1000 warm-up requests"):
    _prediction_logs.write_logs(str(path), [log] * 1001)
  with pytest.raises(ValueError, match="there is no warm-up request"):
    _prediction_logs.write_logs(str(path), [])
  assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["warmup"]


def test_without_servings_messages_the_error_says_what_to_install(monkeypatch):
  monkeypatch.setitem(__import__("sys").modules, "tensorflow_serving.apis.prediction_log_pb2", None)
  with pytest.raises(ImportError, match=r"pip install 'monolith-recommender\[serving\]'"):
    _serving_protos.load("prediction_log_pb2")
