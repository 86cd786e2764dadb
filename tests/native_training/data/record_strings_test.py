# SPDX-License-Identifier: Apache-2.0
"""Records made of strings, and columns of records in other slots."""

import math
import random
import struct

import pb_records
import pytest
import records
from records import messages, payloads, random_records, variants

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training.data import feature_utils as fu
from monolith.native_training.data.parsers import parse_example_batch, parse_examples, parse_instances


def v2(slot, signature):
  return slot << 48 | signature


def test_strings_of_all_types():
  for kind, make in records.KINDS.items():
    message = make(data_source_key=7)
    tensor = fu.string_to_variant([[message.SerializeToString()], [b""]], kind)
    assert tensor.shape == [2, 1] and messages(tensor, kind) == [message, make()]
  assert fu.string_to_variant(tf.constant("")).shape == []


def test_special_columns_become_fields():
  example = example_pb2.Example()
  example.named_feature.add(name="__LABEL__").feature.float_list.value.append(3)
  example.named_raw_feature.add(name="raw")
  (read,) = messages(fu.string_to_variant([example.SerializeToString()]), "example")
  assert list(read.label) == [3] and len(read.named_feature) == len(read.named_raw_feature) == 1


@pytest.mark.parametrize("flags", range(16))
def test_frames(flags):
  lagrangex, prefix, sort_id, dump = (bool(flags >> i & 1) for i in range(4))
  instance = proto_parser_pb2.Instance(label=[1])
  framed = pb_records.frame(
    instance.SerializeToString(),
    lagrangex="pc" if lagrangex else None,
    prefix=prefix,
    sort_id=b"xyz" if sort_id else None,
    dump=dump,
  )
  arguments = {"has_header": True, "has_sort_id": sort_id, "lagrangex_header": lagrangex, "kafka_dump_prefix": prefix,
               "kafka_dump": dump}  # fmt: skip
  if lagrangex:
    instance.data_source_key = 914176
  assert messages(fu.string_to_variant([framed], "instance", **arguments), "instance") == [instance]
  several = fu.string_to_variant_with_transform([framed * 3, b"", framed], "instance", "instance", **arguments)
  assert messages(several, "instance") == [instance] * 4


def test_sources():
  rows = [proto_parser_pb2.Instance(data_source_key=3) for _ in range(3)]
  for row, chnid in zip(rows, (1, 2, 9), strict=True):
    row.line_id.chnid = chnid
  tensor = [row.SerializeToString() for row in rows]

  def keys(**arguments):
    return [m.data_source_key for m in messages(fu.string_to_variant(tensor, "instance", **arguments), "instance")]

  assert keys() == [3, 3, 3]
  assert keys(chnids=[1, 2], datasources=["pc", "mobile"]) == [914176, 1250992640, 3]
  assert keys(chnids=[1], datasources=["pc"], default_datasource="cloud") == [914176, 2782803200, 2782803200]
  assert keys(default_datasource="\U0001f600") == [(31 * 0xD83D + 0xDE00 << 8) & 0xFFFFFFFF] * 3, "Java's halves"
  rows[0].data_source_key = 0
  assert messages(fu.string_to_variant([rows[0].SerializeToString()], "instance"), "instance")[0].data_source_key == 0


def test_transforms():
  batch = example_pb2.ExampleBatch(batch_size=2, data_source_key=256)
  column = batch.named_feature_list.add(name="city")
  for fid in (1, 2):
    column.feature.add().fid_v2_list.value.append(v2(3, fid))
  label = batch.named_feature_list.add(name="__LABEL__", type=1)
  label.feature.add().float_list.value.append(0.5)
  serialized = [batch.SerializeToString()] * 2
  examples = fu.string_to_variant_with_transform(serialized, "example_batch", "example")
  assert parse_examples(examples, ["city"])["city"].to_list() == [[v2(3, 1)], [v2(3, 2)]] * 2
  instances = fu.string_to_variant_with_transform(serialized, "examplebatch", "instance")
  parsed = parse_instances(instances, None, ["city"], ["label"])
  assert parsed["city"].to_list() == [[v2(3, 1)], [v2(3, 2)]] * 2 and parsed["label"].numpy().tolist() == [[0.5]] * 4
  assert [m.data_source_key for m in messages(instances, "instance")] == [256] * 4
  assert (
    messages(fu.string_to_variant_with_transform(serialized, "example_batch", "example_batch"), "example_batch")
    == [batch] * 2
  )
  instance = proto_parser_pb2.Instance(fid=[5 << 54 | 1], label=[1])
  (made,) = messages(
    fu.string_to_variant_with_transform([instance.SerializeToString()], "instance", "example"), "example"
  )
  assert made.named_feature[0].name == "fc_slot_5" and list(made.label) == [1]
  with tf.Graph().as_default():
    made = fu.string_to_variant_with_transform(tf.compat.v1.placeholder(tf.string, [3]))
    assert made.shape.as_list() == [None]


def test_zeros():
  assert fu.variant_to_zeros(variants([b""] * 3, "example")).numpy().tolist() == [0, 0, 0]
  assert fu.variant_to_zeros(variants(b"", "instance")).shape == []


def tf_example(**features):
  kinds = {int: "int64_list", float: "float_list", bytes: "bytes_list"}
  example = tf.train.Example()
  for name, values in features.items():
    feature = example.features.feature[name]
    for value in values:
      getattr(feature, kinds[type(value)]).value.append(value)
  return example


def test_tf_examples():
  rows = [
    tf_example(
      feature0=[1, -1], feature1=[0.0, -7.0, 1e38, math.inf, math.nan], feature2=[0.5], feature3=[1.0], text=[b"x"]
    ),
    tf_example(feature0=[2**48 + 3], feature3=[2], other=[b"y"]),
  ]
  serialized = [m.SerializeToString() for m in rows]
  tensor = fu.tf_example_to_example(serialized, {"feature0": 3, "feature1": 4}, ["feature2", "text"], "feature3")
  parsed = parse_examples(
    tensor,
    ["feature0", "feature1"],
    ["feature2", "feature3", "label", "instance_weight", "text"],
    [1] * 5,
    [tf.float32] * 4 + [tf.string],
  )
  assert parsed["feature0"].to_list() == [[v2(3, 1), v2(3, 2**48 - 1)], [v2(3, 3)]]
  assert parsed["feature1"].to_list() == [[v2(4, n) for n in (0, 3, 126, 128, 0)], []]
  assert parsed["feature2"].numpy().tolist() == [[0.5], [0]] and parsed["text"].numpy().tolist() == [[b"x"], [b""]]
  assert parsed["feature3"].numpy().tolist() == [[0], [0]], "the label is no column"
  assert parsed["label"].numpy().tolist() == [[1], [2]] and parsed["instance_weight"].numpy().tolist() == [[1], [1]]
  assert messages(tensor, "example")[0].named_feature[0].id == 3
  weighted = fu.tf_example_to_example(serialized, {"feature0": 3}, [], "", "feature2")
  assert [m.instance_weight for m in messages(weighted, "example")] == [0.5, 1]


def test_tf_examples_as_the_twin():
  rng = random.Random(9)
  rows = []
  for _ in range(60):
    features = {}
    for name in rng.sample("abcd", rng.randrange(5)):
      make = rng.choice([lambda: rng.randrange(-(2**63), 2**63), lambda: rng.uniform(-1e6, 1e6)])
      features[name] = [make() for _ in range(rng.randrange(4))]
    rows.append(tf_example(**features))
  tensor = fu.tf_example_to_example([m.SerializeToString() for m in rows], {"a": 1, "b": 32767}, ["c"], "d")
  for row, made in zip(rows, messages(tensor, "example"), strict=True):
    found = row.features.feature
    expected = example_pb2.Example(instance_weight=1)
    for name, slot in (("a", 1), ("b", 32767)):
      if name not in found:
        continue
      fids = [v2(slot, v % 2**48) for v in found[name].int64_list.value]
      fids += [v2(slot, int(math.log2(abs(v) + 1))) for v in found[name].float_list.value]
      expected.named_feature.add(name=name, id=slot).feature.fid_v2_list.value.extend(fids)
    if "c" in found:
      feature = expected.named_feature.add(name="c").feature
      kind = found["c"].WhichOneof("kind")
      if kind:
        getattr(feature, kind).value.extend(getattr(found["c"], kind).value)
    if "d" in found:
      expected.label.extend([*found["d"].int64_list.value, *found["d"].float_list.value])
    # A feature without values is no feature of a kind.
    expected_columns = [f for f in expected.named_feature if found[f.name].WhichOneof("kind")]
    assert [f for f in made.named_feature if found[f.name].WhichOneof("kind")] == expected_columns
    assert list(made.label) == list(expected.label) and made.instance_weight == 1


def test_slots_of_columns():
  example = example_pb2.Example(label=[1])
  city = example.named_feature.add(name="city", id=5).feature
  city.fid_v2_list.value.extend([v2(1, 7), v2(3, 2**48 - 1)])
  example.named_feature.add(name="old", id=6).feature.fid_v1_list.value.append(9 << 54 | 2**54 - 1)
  example.named_feature.add(name="age").feature.float_list.value.append(1)
  unknown = records.field_bytes(900, b"kept")
  before = variants([example.SerializeToString() + unknown], "example")
  after = fu.switch_slot_batch(before, {"city": (False, 32767), "old": (True, 1023), "none": (True, 1)}, "example", "x")
  assert payloads(after)[0][1].endswith(unknown)
  (made,) = messages(after, "example")
  assert [f.name for f in made.named_feature] == ["city", "city_x", "old", "age"]
  assert made.named_feature[0] == example.named_feature[0] and made.named_feature[1].id == 5
  assert list(made.named_feature[1].feature.fid_v2_list.value) == [v2(32767, 7), v2(32767, 2**48 - 1)]
  assert list(made.named_feature[2].feature.fid_v1_list.value) == [1023 << 54 | 2**54 - 1]
  wide = messages(fu.switch_slot_batch(before, {"old": (True, 1024)}, "example"), "example")[0].named_feature[1]
  assert list(wide.feature.fid_v2_list.value) == [v2(1024, 2**48 - 1)], "a slot that version 1 does not have"
  assert payloads(fu.switch_slot_batch(before, {"none": (True, 1)}, "example")) == payloads(before)


def test_slots_of_batches():
  batch = example_pb2.ExampleBatch(batch_size=3)
  city = batch.named_feature_list.add(name="city", id=5)
  for fids in ([v2(1, 7)], [], [v2(1, 8), v2(1, 9)]):
    city.feature.add().fid_v2_list.value.extend(fids)
  shared = batch.named_feature_list.add(name="user", type=1)
  shared.feature.add().fid_v1_list.value.append(2 << 54 | 3)
  tensor = fu.switch_slot_batch(variants(batch, "example_batch"), {"city": (False, 300), "user": (True, 400)})
  parsed = parse_example_batch(tensor, ["city", "city_share", "user"])
  assert parsed["city"].to_list() == [[v2(1, 7)], [], [v2(1, 8), v2(1, 9)]]
  assert parsed["city_share"].to_list() == [[v2(300, 7)], [], [v2(300, 8), v2(300, 9)]]
  assert parsed["user"].to_list() == [[v2(400, 3)]] * 3
  (made,) = messages(tensor, "example_batch")
  assert [(c.name, c.id, c.type) for c in made.named_feature_list] == [
    ("city", 5, 0),
    ("city_share", 5, 0),
    ("user", 0, 1),
  ]


def test_slots_as_the_twin():
  rows = random_records("example", 100, 8)
  fids_only = [m for m in rows if all(f.feature.WhichOneof("type") in (None, "fid_v2_list") for f in m.named_feature)]
  assert len(fids_only) > 10
  after = messages(
    fu.switch_slot_batch(variants(fids_only, "example"), {"a": (True, 9), "b": (False, 8)}, "example"), "example"
  )
  for before, found in zip(fids_only, after, strict=True):
    expected = example_pb2.Example()
    expected.CopyFrom(before)
    del expected.named_feature[:]
    for column in before.named_feature:
      changed = example_pb2.NamedFeature()
      changed.CopyFrom(column)
      slot = {"a": 9, "b": 8}.get(column.name)
      if slot and column.feature.WhichOneof("type"):
        changed.feature.fid_v2_list.value[:] = [v2(slot, fid % 2**48) for fid in column.feature.fid_v2_list.value]
      if column.name == "a":
        expected.named_feature.append(changed)
        continue
      expected.named_feature.append(column)
      if column.name == "b":
        changed.name = "b_share"
        expected.named_feature.append(changed)
    assert found == expected


@pytest.mark.parametrize(
  ("call", "words"),
  [
    (lambda: fu.string_to_variant([b"", b"\xff"]), r"StringToVariant: input\[1\]: Failed to parse the Example"),
    (lambda: fu.string_to_variant([b"\xff"], "instance"), "Failed to parse the Instance"),
    (
      lambda: fu.string_to_variant([b"\xff"], "plaintext"),
      "variant_type is plaintext; use instance, example or example_b",
    ),
    (lambda: fu.string_to_variant([b""], has_sort_id=True), "has_header is false, but headers are described"),
    (
      lambda: fu.string_to_variant([struct.pack("<QQ", 0, 0) * 2], has_header=True, kafka_dump=True),
      "more than one record",
    ),
    (lambda: fu.string_to_variant([b"\x01"], has_header=True), r"StringToVariant: input\[0\]: the string: .*truncated"),
    (lambda: fu.string_to_variant([struct.pack("<Q", 2**40)], has_header=True), r"input\[0\]: the string: .*length"),
    (
      lambda: fu.string_to_variant([b""], "example_batch", chnids=[1], datasources=["a"]),
      "chnids for an ExampleBatch, whose rows have channels",
    ),
    (
      lambda: fu.string_to_variant_with_transform([b""], "example", "example_batch"),
      "input_type Example cannot become",
    ),
    (
      lambda: fu.string_to_variant_with_transform([b"\xff"]),
      r"StringToVariantWithTransform: input\[0\]: Failed to parse",
    ),
    (
      lambda: fu.string_to_variant_with_transform([b"\x0a\x03\x0a\x01a\x18\x02"], "example_batch"),
      "column 'a' of the ExampleBatch has 0 features for batch_size 2",
    ),
    (
      lambda: fu.tf_example_to_example([b"\xff"], {}, [], ""),
      r"serialized\[0\]: the bytes are no serialized tf.train.Exam",
    ),
    (
      lambda: fu.tf_example_to_example([b""], {"a": 0}, [], ""),
      r"slot 0 for 'a'; slots must be in \[1, 32768\), each once",
    ),
    (lambda: fu.tf_example_to_example([b""], {"a": 1, "b": 1}, [], ""), "slot 1 for 'b'; slots must be"),
    (lambda: fu.tf_example_to_example([b""], {"a": 1}, ["a"], ""), "feature 'a' is there twice"),
    (
      lambda: fu.tf_example_to_example([tf_example(a=[b"x"]).SerializeToString()], {"a": 1}, [], ""),
      "feature 'a' has bytes; a sparse feature is int64 or float",
    ),
    (
      lambda: fu.tf_example_to_example([tf_example(a=[b"x"]).SerializeToString()], {}, [], "a"),
      "feature 'a' has bytes; a label or a weight is",
    ),
    (lambda: fu.switch_slot_batch(variants(b"", "example"), {}, "example"), "SwitchSlotBatch: features is empty"),
    (lambda: fu.switch_slot_batch(variants(b"", "example"), {"a": (True, 32768)}, "example"), "slot 32768 is not in"),
    (
      lambda: fu.switch_slot_batch(variants(b"", "instance"), {"a": (True, 1)}, "instance"),
      "variant_type is Instance; use",
    ),
    (lambda: fu.switch_slot_batch(variants(b"", "example"), {"a": (True, 1)}), "holds Example, not ExampleBatch"),
  ],
)
def test_what_ops_refuse(call, words):
  with pytest.raises(tf.errors.InvalidArgumentError, match=words):
    call()


def test_what_python_refuses():
  with pytest.raises(ValueError, match="chnids has 1 channels and datasources 0 names; give one for each"):
    fu.string_to_variant([b""], chnids=[1])
  with pytest.raises(ValueError, match="lagrangex_header has the key of the source"):
    fu.string_to_variant([b""], has_header=True, lagrangex_header=True, default_datasource="pc")


def test_columns_that_have_no_slots():
  example = example_pb2.Example()
  example.named_feature.add(name="age").feature.float_list.value.append(1)
  with pytest.raises(tf.errors.InvalidArgumentError, match="column 'age' has a float_list; a slot is a part of fids"):
    fu.switch_slot_batch(variants(example, "example"), {"age": (True, 1)}, "example")
