# SPDX-License-Identifier: Apache-2.0
"""Parsers: where values come from, what stands for missing data, and what is refused."""

from __future__ import annotations

import random
import struct
import threading

import pb_records
import pytest

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import numpy as np
import tensorflow as tf
from absl import flags
from google.protobuf import message as protobuf_message

from idl.matrix.proto import example_pb2, line_id_pb2, proto_parser_pb2
from monolith.native_training.data import feature_list, parsers, utils
from monolith.native_training.data.datasets import FilePBDataset, PbType
from monolith.native_training.data.parsers import parse_example_batch, parse_examples, parse_instances
from monolith.native_training.runtime.ops import gen_monolith_ops

INVALID = float(np.finfo(np.float32).min)
TINY = float(np.finfo(np.float32).tiny)


def v1(slot, signature):
  return slot << 54 | signature


def v2(slot, signature):
  return slot << 48 | signature


def strings(*messages):
  return tf.constant([m if isinstance(m, bytes) else m.SerializeToString() for m in messages])


def as_lists(parsed):
  return {k: t.to_list() if isinstance(t, tf.RaggedTensor) else t.numpy().tolist() for k, t in parsed.items()}


def in_session(parse, serialized):
  """What `parse` gives in a graph that is fed the strings."""
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    placeholder = tf.compat.v1.placeholder(tf.string, [None])
    results = session.run(parse(placeholder), {placeholder: serialized.numpy()})
  return {name: value.to_list() if hasattr(value, "row_splits") else value.tolist() for name, value in results.items()}


def sample_instance():
  instance = proto_parser_pb2.Instance(fid=[v1(i, i) for i in range(10)])
  instance.feature.add(name="fidv2", fid=[v2(100, i) for i in range(10)])
  instance.line_id.actions.extend([0, 100])
  return instance


def test_instances_of_both_versions():
  batch = parse_instances(
    strings(sample_instance(), sample_instance()),
    [1, 10],
    ["fidv2", "fidv2_2"],
    ["float", "text"],
    [2, 1],
    [tf.float32, tf.string],
    ["actions"],
    [2],
  )
  assert as_lists(batch) == {
    "slot_1": [[v2(1, 1)]] * 2,
    "slot_10": [[]] * 2,
    "fidv2": [[v2(100, i) for i in range(10)]] * 2,
    "fidv2_2": [[]] * 2,
    "float": [[0.0, 0.0]] * 2,
    "text": [[b""]] * 2,
    "actions": [[0, 100]] * 2,
  }


def test_v1_fids_stay_raw_without_v2_columns():
  for v2_features in (None, []):
    assert as_lists(parse_instances(strings(sample_instance()), [1], v2_features)) == {"slot_1": [[v1(1, 1)]]}
  fid = 290956192322012601
  instance = proto_parser_pb2.Instance(fid=[fid, 2**64 - 1])
  assert as_lists(parse_instances(strings(instance), [16], ["x"]))["slot_16"] == [[4696141007275449]]
  assert as_lists(parse_instances(strings(instance), [1023]))["slot_1023"] == [[-1]]
  assert as_lists(parse_instances(strings(instance), [1023], ["x"]))["slot_1023"] == [[288230376151711743]]


def test_instances_in_all_modes():
  first, second = sample_instance(), proto_parser_pb2.Instance(label=[2.0, 3.0, 4.0], instance_weight=0.5)
  second.line_id.sample_rate = 0.25
  second.line_id.device_type = "phone"
  second.feature.add(name="ints", int64_value=[-1, 2])
  serialized = strings(first, second)

  def parse(tensor):
    return parse_instances(
      tensor, None, ["fidv2"], ["label", "instance_weight", "ints"], [2, 1, 2],
      [tf.float32, tf.float32, tf.int64], ["sample_rate", "device_type", "uid", "is_draw"], [1, 1, 1, 1],
    )  # fmt: skip

  expected = {
    "fidv2": [[v2(100, i) for i in range(10)], []],
    "label": [[0.0, 0.0], [2.0, 3.0]],
    "instance_weight": [[1.0], [0.5]],
    "ints": [[0, 0], [-1, 2]],
    "sample_rate": [[1.0], [0.25]],
    "device_type": [[b""], [b"phone"]],
    "uid": [[0], [0]],
    "is_draw": [[0], [0]],
  }
  assert as_lists(parse(serialized)) == expected
  assert as_lists(tf.function(parse)(serialized)) == expected
  assert in_session(parse, serialized) == expected


def test_instance_columns_of_another_length_count_as_missing():
  instance = proto_parser_pb2.Instance(label=[7.0])
  instance.feature.add(name="f", float_value=[1.0, 2.0, 3.0], int64_value=[5], bytes_value=[b"x", b"y"])
  instance.feature.add(name="lists", fid=[1]).fid_list.add(value=[2, 3])
  for name, dtype, width, expected in (
    ("f", tf.float32, 2, [0.0, 0.0]),
    ("f", tf.float32, 3, [1.0, 2.0, 3.0]),
    ("f", tf.float32, 4, [0.0] * 4),
    ("f", tf.int64, 2, [0, 0]),
    ("f", tf.string, 1, [b""]),
    ("f", tf.string, 2, [b"x", b"y"]),
    ("label", tf.float32, 3, [7.0, 0.0, 0.0]),
  ):
    assert as_lists(parse_instances(strings(instance), None, None, [name], [width], [dtype])) == {name: [expected]}
  assert as_lists(parse_instances(strings(instance), None, ["lists"])) == {"lists": [[1, 2, 3]]}


def test_quantized_floats():
  values = [1.1, 0.1, 3.1, 5.1, 2.2, 3.3, 4.3]
  floats = np.array(values, np.float32)
  step = (floats.max() - floats.min()) / np.float32(255)
  codes = (np.float32(0.5) + (floats - floats.min()) / step).astype(np.uint8)
  assert codes.tolist() == [51, 0, 153, 255, 107, 163, 214]
  head = np.array([floats.min(), floats.max()], np.float16)
  assert head.view(np.uint16).tolist() == [0x2E66, 0x451A]
  instance = proto_parser_pb2.Instance()
  instance.feature.add(name="emb", bytes_value=[b"UE_QTZ" + head.tobytes() + codes.tobytes()])
  (decoded,) = as_lists(parse_instances(strings(instance), None, None, ["emb"], [7]))["emb"]
  np.testing.assert_allclose(decoded, values, atol=1e-2)
  with pytest.raises(tf.errors.InternalError, match=r"row 0: column 'emb' holds 7 quantized values \(11 bytes\)"):
    parse_instances(strings(instance), None, None, ["emb"], [6])
  short = proto_parser_pb2.Instance()
  short.feature.add(name="emb", bytes_value=[b"UE_QTZ" + np.array([1, -2, 0], np.float16).tobytes()])
  (decoded,) = as_lists(parse_instances(strings(short), None, None, ["emb"], [3]))["emb"]
  assert decoded == [1 + 2**-11, -2 - 2**-10, 0]


def example_with(**columns):
  example = example_pb2.Example()
  for name, (kind, values) in columns.items():
    feature = example.named_feature.add(name=name).feature
    getattr(feature, kind).SetInParent()
    if kind.endswith("lists"):
      getattr(feature, kind).list.add().value.extend(values)
    else:
      getattr(feature, kind).value.extend(values)
  return example


def test_example_fids_are_version_2():
  example = example_with(a=("fid_v1_list", [v1(5, 3)]), b=("fid_v2_list", [v2(300, 4), 2**63]))
  assert as_lists(parse_examples(strings(example), ["a", "b", "c"])) == {
    "a": [[v2(5, 3)]], "b": [[v2(300, 4), -(2**63)]], "c": [[]],
  }  # fmt: skip


def test_example_sequences_are_empty_rows():
  example = example_with(a=("fid_v2_lists", [1, 2]), b=("fid_v1_lists", [3]))
  assert as_lists(parse_examples(strings(example), ["a", "b"])) == {"a": [[]], "b": [[]]}


@pytest.mark.parametrize(
  "kind, values, dtype, width, expected",
  [
    ("float_list", [1.0, 2.0], tf.float32, 3, [1.0, 2.0, 0.0]),
    ("float_list", [1.0, 2.0], tf.float32, 1, [1.0]),
    ("float_list", [], tf.float32, 1, [TINY]),
    ("float_list", [], tf.float32, 2, [0.0, 0.0]),
    ("double_list", [1.5, 2.5], tf.float32, 3, [1.5, 2.5, 0.0]),
    ("double_list", [], tf.float32, 1, [TINY]),
    ("int64_list", [-1, 2**62], tf.int64, 3, [-1, 2**62, 0]),
    ("int64_list", [4, 5], tf.int64, 1, [4]),
    ("int64_list", [], tf.int64, 1, [0]),
    ("bytes_list", [b"x", b"y"], tf.string, 1, [b"x"]),
    ("bytes_list", [], tf.string, 1, [b""]),
  ],
)
def test_dense_columns_of_examples_and_batches(kind, values, dtype, width, expected):
  example = example_with(x=(kind, values))
  arguments = ([], ["x", "absent"], [width, 1], [dtype, tf.float32])
  assert as_lists(parse_examples(strings(example), *arguments)) == {"x": [expected], "absent": [[0.0]]}
  batch = example_pb2.ExampleBatch(batch_size=2)
  column = batch.named_feature_list.add(name="x")
  for _ in range(2):
    column.feature.add().CopyFrom(example.named_feature[0].feature)
  assert as_lists(parse_example_batch(strings(batch), *arguments)) == {"x": [expected] * 2, "absent": [[0.0]] * 2}
  shared = example_pb2.ExampleBatch(batch_size=2)
  shared.named_feature_list.add(name="x", type=example_pb2.SHARED).feature.add().CopyFrom(
    example.named_feature[0].feature
  )
  assert as_lists(parse_example_batch(strings(shared), *arguments)) == {"x": [expected] * 2, "absent": [[0.0]] * 2}


def test_labels_and_weights_of_examples():
  examples = [example_pb2.Example(), example_pb2.Example(label=[1.0], instance_weight=-2.0)]
  examples.append(example_pb2.Example(label=[1.0, 2.0, 3.0], instance_weight=0.5))
  examples.append(example_with(label=("float_list", [9.0]), instance_weight=("float_list", [-4.0])))
  examples[-1].label.append(5.0)
  # What a dataset reads: a serialized Example has its special columns lifted, a column of the name stays first.
  parsed = parse_examples(strings(*examples), [], ["label", "instance_weight"], [2, 1])
  assert as_lists(parsed) == {
    "label": [[INVALID, INVALID], [1.0, INVALID], [1.0, 2.0], [9.0, INVALID]],
    "instance_weight": [[1.0], [1.0], [0.5], [-4.0]],
  }


def test_labels_and_weights_of_batches():
  batch = example_pb2.ExampleBatch(batch_size=3)
  labels = batch.named_feature_list.add(name="__LABEL__")
  weights = batch.named_feature_list.add(name="instance_weight")
  line_ids = batch.named_feature_list.add(name="__LINE_ID__")
  for row, (label, weight) in enumerate([([], [0.0]), ([1.0], []), ([1.0, 2.0], [0.5])]):
    labels.feature.add().float_list.value.extend(label)
    weights.feature.add().float_list.value.extend(weight)
    line_ids.feature.add().bytes_list.value.append(line_id_pb2.LineId(uid=row, actions=[row] * row).SerializeToString())
  arguments = ([], ["label", "instance_weight"], [2, 1], None, ["uid", "actions"], [1, 2])
  expected = {
    "label": [[INVALID, INVALID], [1.0, INVALID], [1.0, 2.0]],
    "instance_weight": [[1.0], [1.0], [0.5]],
    "uid": [[0], [1], [2]],
    "actions": [[0, 0], [1, 0], [2, 2]],
  }
  assert as_lists(parse_example_batch(strings(batch), *arguments)) == expected
  assert as_lists(parse_example_batch(tf.constant(batch.SerializeToString()), *arguments)) == expected
  without = example_pb2.ExampleBatch(batch_size=1)
  assert as_lists(parse_example_batch(strings(without), *arguments)) == {
    "label": [[INVALID, INVALID]], "instance_weight": [[0.0]], "uid": [[0]], "actions": [[0, 0]],
  }  # fmt: skip


def test_shared_special_columns_count_for_every_row():
  batch = example_pb2.ExampleBatch(batch_size=2)
  for name in ("__LABEL__", "__LINE_ID__"):
    batch.named_feature_list.add(name=name, type=example_pb2.SHARED).feature.add()
  batch.named_feature_list[0].feature[0].float_list.value.append(3.0)
  batch.named_feature_list[1].feature[0].bytes_list.value.append(line_id_pb2.LineId(chnid=8).SerializeToString())
  parsed = parse_example_batch(strings(batch), [], ["label"], extra_features=["chnid"])
  assert as_lists(parsed) == {"label": [[3.0]] * 2, "chnid": [[8]] * 2}


def test_serialized_examples_are_read_as_a_dataset_reads_them():
  example = example_pb2.Example()
  line_id = line_id_pb2.LineId(uid=9, rank=-3, is_draw=True, chnid=-4, cid="c", item_id=2**63)
  example.named_feature.add(name="__LINE_ID__").feature.bytes_list.value.append(line_id.SerializeToString())
  extras = ["uid", "rank", "is_draw", "chnid", "cid", "item_id", "pre_actions", "data_source_name"]
  assert as_lists(parse_examples(strings(example), [], extra_features=extras)) == {
    "uid": [[9]], "rank": [[-3]], "is_draw": [[1]], "chnid": [[-4]], "cid": [[b"c"]], "item_id": [[-(2**63)]],
    "pre_actions": [[0]], "data_source_name": [[b""]],
  }  # fmt: skip


def test_datasets_in_batches(tmp_path):
  examples = [example_with(a=("fid_v2_list", [i] * i)) for i in range(5)]
  path = tmp_path / "a.pb"
  path.write_bytes(pb_records.stream(examples, sort_id=b""))
  dataset = FilePBDataset(str(path), input_pb_type=PbType.EXAMPLE).batch(2).map(lambda t: parse_examples(t, ["a"]))
  assert [as_lists(batch)["a"] for batch in dataset] == [[[], [1]], [[2, 2], [3, 3, 3]], [[4] * 4]]
  batch = example_pb2.ExampleBatch(batch_size=2)
  column = batch.named_feature_list.add(name="a")
  column.feature.add().fid_v2_list.value.append(1)
  column.feature.add()
  path.write_bytes(pb_records.stream([batch], sort_id=b""))
  dataset = FilePBDataset(str(path), input_pb_type="examplebatch", output_pb_type="examplebatch")
  assert [as_lists(b)["a"] for b in dataset.map(lambda t: parse_example_batch(t, ["a"]))] == [[[1], []]]
  assert [as_lists(b)["a"] for b in dataset.batch(1).map(lambda t: parse_example_batch(t, ["a"]))] == [[[1], []]]
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"pb_input\[0\] holds ExampleBatch, not Example"):
    parse_examples(tf.stack(list(dataset)), ["a"])


def test_many_rows_on_many_threads():
  rng = np.random.default_rng(0)
  rows = [rng.integers(0, 2**62, rng.integers(0, 6)) for _ in range(1000)]
  examples = [example_with(a=("fid_v2_list", row), f=("float_list", row[:2] % 7)) for row in rows]
  parsed = parse_examples(strings(*examples), ["a"], ["f"], [2])
  assert parsed["a"].to_list() == [row.tolist() for row in rows]
  expected = np.zeros([1000, 2], np.float32)
  for i, row in enumerate(rows):
    expected[i, : len(row[:2])] = row[:2] % 7
  np.testing.assert_array_equal(parsed["f"], expected)
  ragged = parsed["a"]
  assert ragged.value_rowids().numpy().tolist() == [i for i, row in enumerate(rows) for _ in row]


def test_empty_batches():
  assert as_lists(parse_examples(tf.zeros([0], tf.string), ["a"], ["f"], [2])) == {"a": [], "f": []}
  assert as_lists(parse_instances(tf.zeros([0], tf.string), [1], ["a"])) == {"slot_1": [], "a": []}
  batch = example_pb2.ExampleBatch()
  assert as_lists(parse_example_batch(strings(batch), ["a"])) == {"a": []}


def test_repeated_columns_and_pieces():
  # The last column of a name stands; pieces of one feature are merged as protobuf merges them.
  example = example_with(a=("fid_v2_list", [1]))
  example.named_feature.add(name="a").feature.fid_v2_list.value.extend([2, 3])
  more = example_pb2.NamedFeature(name="a")
  more.feature.fid_v2_list.value.append(4)
  pieces = example.named_feature[1].SerializeToString() + more.SerializeToString()
  serialized = example.SerializeToString() + b"\x0a" + bytes([len(pieces)]) + pieces
  merged = example_pb2.Example.FromString(serialized)
  assert list(merged.named_feature[2].feature.fid_v2_list.value) == [2, 3, 4]
  assert as_lists(parse_examples(strings(serialized), ["a"])) == {"a": [[2, 3, 4]]}


def test_the_caller_is_told():
  example = strings(example_with(a=("float_list", [1.0])))
  with pytest.raises(
    tf.errors.InvalidArgumentError, match="row 0: column 'a' holds float_list, but is asked for as fids"
  ):
    parse_examples(example, ["a"])
  with pytest.raises(tf.errors.InvalidArgumentError, match="column 'a' holds float_list, but is asked for as int64"):
    parse_examples(example, [], ["a"], [1], [tf.int64])
  with pytest.raises(tf.errors.InvalidArgumentError, match="column 'a': its shape is 2; a string column of an Example"):
    parse_examples(example, [], ["a"], [2], [tf.string])
  with pytest.raises(tf.errors.InvalidArgumentError, match="column 'label': it is a float32 field"):
    parse_examples(example, [], ["label"], [1], [tf.int64])
  with pytest.raises(ValueError, match="extra feature 'uids' is not in line id, which has uid"):
    parse_examples(example, [], extra_features=["uids"])
  with pytest.raises(ValueError, match="feature 'a' is asked for twice"):
    parse_examples(example, ["a"], ["a"])
  with pytest.raises(ValueError, match="feature 'a' has shape 0; it must be greater than 0"):
    parse_examples(example, [], ["a"], [0])
  with pytest.raises(ValueError, match="dense_feature_shapes has 2 entries for 1 features"):
    parse_examples(example, [], ["a"], [1, 2])
  with pytest.raises(RuntimeError, match="fidv1_features error"):
    parse_instances(strings(sample_instance()), [1, "user"])
  with pytest.raises(tf.errors.FailedPreconditionError, match=r"pb_input\[1\]: Failed to parse the Instance."):
    parse_instances(strings(sample_instance(), b"\xff"), [1])


def test_batch_columns_are_checked():
  batch = example_pb2.ExampleBatch(batch_size=2)
  column = batch.named_feature_list.add(name="a")
  column.feature.add()
  with pytest.raises(
    tf.errors.InvalidArgumentError, match="column 'a' of the ExampleBatch has 1 features for batch_size 2"
  ):
    parse_example_batch(strings(batch), ["a"])
  batch.named_feature_list[0].type = example_pb2.SHARED
  del column.feature[:]
  with pytest.raises(tf.errors.InvalidArgumentError, match="a shared column needs one"):
    parse_example_batch(strings(batch), ["a"])
  for size in (-1, 2**31 - 1):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"batch_size {size} in"):
      parse_example_batch(strings(example_pb2.ExampleBatch(batch_size=size)), ["a"])


@pytest.mark.parametrize("op", ["parse_instances", "parse_examples", "parse_example_batch"])
def test_shapes_and_attributes_of_ops(op):
  more = {"fidv1_features": []} if op == "parse_instances" else {}
  call = getattr(gen_monolith_ops, op)
  with tf.Graph().as_default():
    serialized = tf.compat.v1.placeholder(tf.string, [5] if op != "parse_example_batch" else [1])
    splits, dense, values = call(serialized, names=["a", "b"], shapes=[-1, 3], dtypes=[tf.int64, tf.float32, tf.int64],
                                 extra_names=[], **more)  # fmt: skip
    rows = None if op == "parse_example_batch" else 5
    assert splits.shape.as_list() == [rows and rows + 1]
    assert dense.shape.as_list() == [rows, 3]
    assert values.shape.as_list() == [None]
    with pytest.raises(ValueError, match="rank"):
      call(tf.zeros([2, 2], tf.string), names=[], shapes=[], dtypes=[], extra_names=[], **more)
  eager = tf.constant([b""])
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"pb_input has shape \[1,1\]; pass"):
    call(eager[None], names=["b"], shapes=[1], dtypes=[tf.float32], extra_names=[], **more)
  with pytest.raises(tf.errors.InvalidArgumentError, match="1 names, 2 shapes and 1 dtypes"):
    call(eager, names=["b"], shapes=[1, 1], dtypes=[tf.float32], extra_names=[], **more)
  with pytest.raises(tf.errors.InvalidArgumentError, match="dtypes has 1 types for 1 names, 1 of them ragged"):
    call(eager, names=["b"], shapes=[-1], dtypes=[tf.int64], extra_names=[], **more)
  with pytest.raises(tf.errors.InvalidArgumentError, match="'b' has shape -1 and type float; only fids are ragged"):
    call(eager, names=["b"], shapes=[-1], dtypes=[tf.float32, tf.int64], extra_names=[], **more)
  with pytest.raises(tf.errors.NotFoundError, match="extra feature 'vid' is not in line id"):
    call(eager, names=["vid"], shapes=[1], dtypes=[tf.int64], extra_names=["vid"], **more)
  with pytest.raises(tf.errors.InvalidArgumentError, match="column 'uid': LineId has it as int64"):
    call(eager, names=["uid"], shapes=[1], dtypes=[tf.float32], extra_names=["uid"], **more)
  with pytest.raises(tf.errors.InvalidArgumentError, match="column 'b': it is asked for twice"):
    call(eager, names=["b", "b"], shapes=[1, 1], dtypes=[tf.float32] * 2, extra_names=[], **more)


def test_slots_of_the_op_are_checked():
  call = gen_monolith_ops.parse_instances
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"slot 1024 is not in \[0, 1024\)"):
    call(tf.constant([b""]), names=["s"], shapes=[-1], dtypes=[tf.int64] * 2, extra_names=[], fidv1_features=[1024])
  with pytest.raises(tf.errors.InvalidArgumentError, match="2 fidv1_features, but only 1 names"):
    call(tf.constant([b""]), names=["s"], shapes=[-1], dtypes=[tf.int64] * 2, extra_names=[], fidv1_features=[1, 2])


def test_names_of_v1_slots(tmp_path, monkeypatch):
  if "feature_list" not in flags.FLAGS:
    flags.DEFINE_string("feature_list", None, "List of features.")
  path = tmp_path / "feature_list.conf"
  path.write_text("feature_name=f_user; slot=1\n")
  monkeypatch.setattr(flags.FLAGS["feature_list"], "_value", str(path))
  instance = strings(sample_instance())
  assert as_lists(parse_instances(instance, [1, 2])) == {"f_user": [[v1(1, 1)]], "slot_2": [[v1(2, 2)]]}
  assert as_lists(parse_instances(instance, ["f_user"])) == {"f_user": [[v1(1, 1)]]}
  assert feature_list.current()["f_user"].slot == 1
  utils.enable_tob_env()
  assert list(parse_instances(instance, [2])) == ["fc_slot_2"]


def test_arguments_are_in_collections_and_contexts():
  with tf.Graph().as_default() as graph:
    parse_examples(tf.compat.v1.placeholder(tf.string, [2]), ["a"], ["b"])
    assert graph.get_collection("sparse_features") == [["a"]]
    assert graph.get_collection("variant_type") == ["example"]
  with parsers.ParserCtx() as outer:
    with parsers.ParserCtx() as inner:
      assert parsers.get_default_parser_ctx() is inner
      inner.set("key", 1)
    assert parsers.get_default_parser_ctx() is outer and outer.get("key", 7) == 7


def test_each_thread_has_contexts_of_its_own():
  inside, checked = threading.Barrier(2, timeout=60), threading.Barrier(2, timeout=60)
  found = {}

  def work(name, fused):
    assert not parsers.get_default_parser_ctx().enable_fused_layout
    outermost = parsers.get_default_parser_ctx()
    with parsers.ParserCtx(fused) as own:
      inside.wait()
      # Both threads are inside their blocks, and neither is on the other's stack.
      columns = parse_examples(strings(example_pb2.Example()), ["a"])
      found[name] = (parsers.get_default_parser_ctx() is own, list(columns), own.parser_type)
      checked.wait()
    found[name] += (parsers.get_default_parser_ctx() is outermost, outermost)

  # The caller's block is not theirs.
  with parsers.ParserCtx(enable_fused_layout=True) as outer:
    threads = [threading.Thread(target=work, args=(f"{fused}", fused)) for fused in (True, False)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    assert parsers.get_default_parser_ctx() is outer
  assert found["True"][:4] == (True, [parsers.SPARSE_FEATURES_KEY], "example", True)
  assert found["False"][:4] == (True, ["a"], "example", True)
  assert found["True"][4] is not found["False"][4]


def test_a_context_entered_twice_is_left_once_at_a_time():
  with parsers.ParserCtx() as one:
    with parsers.ParserCtx() as other:
      with one:
        pass
      assert parsers.get_default_parser_ctx() is other
    assert parsers.get_default_parser_ctx() is one
  assert parsers.get_default_parser_ctx() is not one


def test_roughsort_adds_the_item(monkeypatch):
  monkeypatch.setattr(parsers.ParserCtx, "enable_resource_constrained_roughsort", True)
  instance = proto_parser_pb2.Instance()
  instance.line_id.item_id = 5
  assert as_lists(parse_instances(strings(instance), None, ["a"])) == {"a": [[]], "item_id": [[5]]}
  assert list(parse_examples(strings(example_pb2.Example()), ["a"])) == ["a"]


def expected_of_protobuf(serialized):
  """Fids, ints, floats, labels and actions that protobuf's objects have; None if it refuses the bytes."""
  try:
    example = example_pb2.Example.FromString(serialized)
  except protobuf_message.DecodeError:
    return None
  columns = {f.name: f.feature for f in example.named_feature}
  kinds = {name: columns[name].WhichOneof("type") if name in columns else None for name in "abc"}
  if not (kinds["a"] in (None, "fid_v1_list", "fid_v2_list") and kinds["b"] in (None, "int64_list")):
    return "other kinds"
  if kinds["c"] not in (None, "float_list"):
    return "other kinds"
  fids = [] if kinds["a"] is None else list(getattr(columns["a"], kinds["a"]).value)
  if kinds["a"] == "fid_v1_list":
    fids = [(f >> 54) << 48 | f & (2**48 - 1) for f in fids]
  ints = list(columns["b"].int64_list.value) if "b" in columns else []
  floats = list(columns["c"].float_list.value) if "c" in columns else []
  signed = [struct.unpack("<q", struct.pack("<Q", f))[0] for f in fids]
  actions = list(example.line_id.actions)
  return signed, (ints + [0, 0])[:2], (floats + [0.0, 0.0])[:2], (actions + [0, 0])[:2]


def damaged(rng, serialized):
  content = bytearray(serialized)
  for _ in range(rng.randint(1, 3)):
    at = rng.randrange(len(content)) if content else 0
    kind = rng.randrange(4)
    if kind == 0 and content:
      content[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
      content[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 3)))
    elif kind == 2:
      del content[at : at + rng.randint(1, 4)]
    else:
      content += content[at : at + rng.randint(1, 30)]
  return bytes(content)


def test_damaged_messages_are_what_protobuf_says():
  rng = random.Random(1)
  example = example_with(
    a=("fid_v1_list", [v1(3, 4), v1(5, 6)]), b=("int64_list", [1, -1]), c=("float_list", [0.5, 2.0])
  )
  example.line_id.actions.extend([1, -5])
  valid = example.SerializeToString()
  refused = taken = 0
  for _ in range(1500):
    serialized = damaged(rng, valid)
    expected = expected_of_protobuf(serialized)
    try:
      parsed = as_lists(
        parse_examples(strings(serialized), ["a"], ["b", "c"], [2, 2], [tf.int64, tf.float32], ["actions"], [2])
      )
    except tf.errors.FailedPreconditionError:
      assert expected is None, serialized
      refused += 1
      continue
    except tf.errors.InvalidArgumentError:
      assert expected == "other kinds", serialized
      continue
    assert expected not in (None, "other kinds"), serialized
    got = parsed["a"][0], parsed["b"][0], parsed["c"][0], parsed["actions"][0]
    np.testing.assert_equal(got, expected)
    taken += 1
  assert refused > 100 and taken > 100
