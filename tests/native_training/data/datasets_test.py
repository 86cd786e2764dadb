# SPDX-License-Identifier: Apache-2.0
"""Sources of records: layouts, conversions, compression, damage, resuming."""

from __future__ import annotations

import itertools
import os
import struct

import pb_records
import pytest

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from absl import flags
from tensorflow.core.framework import tensor_pb2

from idl.matrix.proto import example_pb2, line_id_pb2, proto_parser_pb2
from monolith.native_training.data import datasets, parsers
from monolith.native_training.data.datasets import CompressType, FilePBDataset, PBDataset, PbType

PLAIN = {"input_pb_type": PbType.INSTANCE, "output_pb_type": PbType.PLAINTEXT}


def write(tmp_path, content, name="part-0.pb"):
  path = tmp_path / name
  path.write_bytes(content)
  return str(path)


def payloads(path, **kwargs):
  return [element.numpy() for element in FilePBDataset(path, **{**PLAIN, **kwargs})]


def example_of(uid, fids=(), **columns):
  example = example_pb2.Example(label=[float(uid)])
  example.line_id.uid = uid
  if fids:
    example.named_feature.add(name="user", id=3).feature.fid_v2_list.value.extend(fids)
  for name, values in columns.items():
    example.named_feature.add(name=name).feature.float_list.value.extend(values)
  return example


def read_messages(message_type, dataset):
  """The messages in a dataset of variants, through TensorFlow's own encoding of variants."""
  messages = []
  for element in dataset:
    encoded = tf.io.serialize_tensor(element).numpy()
    proto = tf.compat.v1.make_tensor_proto(0)
    proto.ParseFromString(encoded)
    content = proto.tensor_content  # the length as a varint, and the encoded variant
    variant = tensor_pb2.VariantTensorDataProto.FromString(content[1 + (len(content) > 129) :])
    assert variant.type_name == message_type.DESCRIPTOR.name
    messages.append(message_type.FromString(variant.metadata))
  return messages


@pytest.mark.parametrize("bits", range(16))
def test_all_headers_round_trip(tmp_path, bits):
  lagrangex, prefix, sort_id, dump = (bool(bits >> i & 1) for i in range(4))
  expected = [b"a" * i for i in range(16)]
  framing = {"lagrangex": "pc"} if lagrangex else {"prefix": prefix, "sort_id": b"" if sort_id else None, "dump": dump}
  path = write(tmp_path, pb_records.stream(expected, **framing))
  flags_used = {"lagrangex_header": lagrangex, "kafka_dump_prefix": prefix, "has_sort_id": sort_id, "kafka_dump": dump}
  assert payloads(path, **flags_used) == expected


@pytest.mark.parametrize(
  "content, kwargs",
  [
    (bytes(8) + struct.pack("<Q", 2) + b"ab", {"lagrangex_header": True}),
    (struct.pack("<Q", 2) + b"x1" + struct.pack("<Q", 2) + b"ab", {}),
    (bytes(24) + struct.pack("<Q", 2) + b"ab", {"kafka_dump_prefix": True}),
    (struct.pack("<Q", 2) + b"x1" + struct.pack("<Q", 2) + b"ab", {"kafka_dump_prefix": True}),
  ],
)
def test_layouts_of_one_record(tmp_path, content, kwargs):
  assert payloads(write(tmp_path, content), **kwargs) == [b"ab"]


def test_key_of_a_source_comes_from_the_header(tmp_path):
  assert [pb_records.java_hash(name) for name in ("pc", "cloud")] == [3571, 94756405]
  assert pb_records.java_hash("datasource_inst") - 2**32 == -1487072768
  assert pb_records.frame(b"", lagrangex="pc")[:8] == b"\x00\xf3\x0d\x00\x00\x00\x00\x00"
  keys = {"pc": 914176, "mobile": 1250992640, "cloud": 2782803200}
  content = b"".join(pb_records.frame(example_of(1).SerializeToString(), lagrangex=name) for name in keys)
  path = write(tmp_path, content)
  for output, message_type in ((PbType.EXAMPLE, example_pb2.Example), (PbType.INSTANCE, proto_parser_pb2.Instance)):
    dataset = FilePBDataset(path, input_pb_type=PbType.EXAMPLE, output_pb_type=output, lagrangex_header=True)
    assert [m.data_source_key for m in read_messages(message_type, dataset)] == list(keys.values())


def test_special_columns_become_fields(tmp_path):
  example = example_pb2.Example(label=[5.0], data_source_key=512)
  line_id = line_id_pb2.LineId(uid=9, actions=[1, 2])
  example.named_feature.add(name="__LINE_ID__").feature.bytes_list.value.append(line_id.SerializeToString())
  example.named_feature.add(name="__LABEL__").feature.float_list.value.extend([1.0, 2.0])
  example.named_feature.add(name="instance_weight").feature.float_list.value.append(0.5)
  example.named_raw_feature.add(name="raw")
  path = write(tmp_path, pb_records.stream([example], sort_id=b""))
  (read,) = read_messages(example_pb2.Example, FilePBDataset(path, input_pb_type=PbType.EXAMPLE))
  assert (read.line_id, list(read.label), read.instance_weight) == (line_id, [5.0, 1.0, 2.0], 0.5)
  assert [f.name for f in read.named_feature] == ["__LINE_ID__", "__LABEL__", "instance_weight"]
  assert not read.named_raw_feature and read.data_source_key == 512
  (kept,) = read_messages(
    example_pb2.Example, FilePBDataset(path, input_pb_type=PbType.EXAMPLE, feature_pruning_type=0)
  )
  assert len(kept.named_raw_feature) == 1 and len(kept.named_feature) == 3
  (instance,) = read_messages(
    proto_parser_pb2.Instance, FilePBDataset(path, input_pb_type=PbType.EXAMPLE, output_pb_type=PbType.INSTANCE)
  )
  assert (instance.line_id, list(instance.label), instance.instance_weight) == (line_id, [5.0, 1.0, 2.0], 0.5)
  assert instance.data_source_key == 512


@pytest.mark.parametrize("content", [b"", b"\xff"])
def test_a_line_id_column_without_a_line_id_is_damage(tmp_path, content):
  example = example_pb2.Example()
  values = example.named_feature.add(name="__LINE_ID__").feature.bytes_list.value
  values.extend([content] if content else [])
  path = write(tmp_path, pb_records.stream([example], sort_id=b""))
  with pytest.raises(tf.errors.FailedPreconditionError, match="offset 0: Failed to parse the column __LINE_ID__"):
    list(FilePBDataset(path, input_pb_type=PbType.EXAMPLE))


def test_instance_becomes_example(tmp_path):
  instance = proto_parser_pb2.Instance(
    fid=[(2 << 54) | 5, (1 << 54) | 6, (2 << 54) | 7], value=[1.5], label=[1.0, 2.0], data_source_key=256
  )
  instance.line_id.uid = 3
  instance.feature.add(name="floats", float_value=[1.0, 2.0], int64_value=[4])
  instance.feature.add(name="texts", bytes_value=[b"x"])
  instance.feature.add(name="nothing")
  instance.feature.add(name="lists").fid_list.add(value=[8, 9])
  path = write(tmp_path, pb_records.stream([instance], sort_id=b""))
  (example,) = read_messages(example_pb2.Example, FilePBDataset(path, output_pb_type=PbType.EXAMPLE))
  columns = {f.name: f.feature for f in example.named_feature}
  assert list(columns) == ["value", "fc_slot_1", "fc_slot_2", "floats", "texts", "nothing", "lists"]
  assert [f.id for f in example.named_feature] == list(range(7))
  assert list(columns["fc_slot_2"].fid_v1_list.value) == [(2 << 54) | 5, (2 << 54) | 7]
  assert list(columns["fc_slot_1"].fid_v1_list.value) == [(1 << 54) | 6]
  assert list(columns["floats"].float_list.value) == [1.0, 2.0]
  assert columns["texts"].bytes_list.value == [b"x"]
  assert columns["nothing"].WhichOneof("type") is None
  assert list(columns["lists"].fid_v2_lists.list[0].value) == [8, 9]
  assert (list(example.label), example.instance_weight, example.line_id.uid) == ([1.0, 2.0], 1.0, 3)
  assert example.data_source_key == 256


def all_kinds():
  example = example_pb2.Example(label=[1.0], instance_weight=2.0, data_source_key=768)
  fill = {
    "fid_v1_list": [7], "fid_v2_list": [8], "float_list": [1.5], "double_list": [2.5], "int64_list": [-3],
    "bytes_list": [b"x"],
  }  # fmt: skip
  for kind, values in fill.items():
    getattr(example.named_feature.add(name=kind).feature, kind).value.extend(values)
  for kind in ("fid_v2_lists", "float_lists", "double_lists", "int64_lists"):
    getattr(example.named_feature.add(name=kind).feature, kind).list.add().value.extend([1, 2])
  example.named_feature.add(name="bytes_lists").feature.bytes_lists.list.add().value.append(b"y")
  example.named_feature.add(name="int64_value").feature.int64_value = 4
  return example


def test_example_becomes_instance(tmp_path):
  path = write(tmp_path, pb_records.stream([all_kinds()], sort_id=b""))
  (instance,) = read_messages(
    proto_parser_pb2.Instance, FilePBDataset(path, input_pb_type=PbType.EXAMPLE, output_pb_type=PbType.INSTANCE)
  )
  assert list(instance.fid) == [7]
  features = {f.name: f for f in instance.feature}
  assert "fid_v1_list" not in features
  assert list(features["fid_v2_list"].fid) == [8]
  assert list(features["float_list"].float_value) == [1.5]
  assert list(features["int64_list"].int64_value) == [-3]
  assert features["bytes_list"].bytes_value == [b"x"]
  assert list(features["fid_v2_lists"].fid_list[0].value) == [1, 2]
  assert list(features["float_lists"].float_list[0].value) == [1.0, 2.0]
  assert list(features["int64_lists"].int64_list[0].value) == [1, 2]
  assert features["bytes_lists"].bytes_list[0].value == [b"y"]
  for name in ("double_list", "double_lists", "int64_value"):
    assert features[name].ListFields() == [(features[name].DESCRIPTOR.fields_by_name["name"], name)]
  assert (list(instance.label), instance.instance_weight, instance.data_source_key) == ([1.0], 2.0, 768)


def batch_of(rows, first=0):
  batch = example_pb2.ExampleBatch(batch_size=rows, data_source_key=512)
  user = batch.named_feature_list.add(name="user", id=3)
  line_ids = batch.named_feature_list.add(name="__LINE_ID__")
  labels = batch.named_feature_list.add(name="__LABEL__")
  weight = batch.named_feature_list.add(name="instance_weight", type=example_pb2.SHARED)
  weight.feature.add().float_list.value.append(0.5)
  shared = batch.named_feature_list.add(name="shared", type=example_pb2.SHARED)
  shared.feature.add().fid_v1_list.value.append((9 << 54) | 1)
  for row in range(first, first + rows):
    user.feature.add().fid_v2_list.value.extend(range(row))
    line_ids.feature.add().bytes_list.value.append(line_id_pb2.LineId(uid=row).SerializeToString())
    labels.feature.add().float_list.value.append(row)
  return batch


def test_example_batch_becomes_rows(tmp_path):
  path = write(tmp_path, pb_records.stream([batch_of(2), batch_of(0), batch_of(1, 2)], sort_id=b""))
  examples = read_messages(example_pb2.Example, FilePBDataset(path, input_pb_type=PbType.EXAMPLEBATCH))
  assert [e.line_id.uid for e in examples] == [0, 1, 2]
  assert [list(e.label) for e in examples] == [[0.0], [1.0], [2.0]]
  # A shared special column counts for every row.
  assert [e.instance_weight for e in examples] == [0.5] * 3
  assert [e.data_source_key for e in examples] == [512] * 3
  for row, example in enumerate(examples):
    assert [(f.name, f.id) for f in example.named_feature] == [("user", 3), ("shared", 0)]
    assert list(example.named_feature[0].feature.fid_v2_list.value) == list(range(row))
  instances = read_messages(
    proto_parser_pb2.Instance, FilePBDataset(path, input_pb_type="example_batch", output_pb_type="instance")
  )
  assert [(i.line_id.uid, list(i.fid), i.data_source_key) for i in instances] == [
    (row, [(9 << 54) | 1], 512) for row in range(3)
  ]
  batches = read_messages(
    example_pb2.ExampleBatch,
    FilePBDataset(path, input_pb_type=PbType.EXAMPLEBATCH, output_pb_type=PbType.EXAMPLEBATCH),
  )
  assert batches == [batch_of(2), batch_of(0), batch_of(1, 2)]


def test_a_column_of_another_length_is_an_error(tmp_path):
  batch = batch_of(2)
  del batch.named_feature_list[0].feature[1]
  path = write(tmp_path, pb_records.stream([batch], sort_id=b""))
  with pytest.raises(tf.errors.InvalidArgumentError, match="column 'user' of the ExampleBatch has 1 features for"):
    list(FilePBDataset(path, input_pb_type=PbType.EXAMPLEBATCH))


@pytest.mark.parametrize("name", pb_records.COMPRESSORS)
def test_compression(tmp_path, name):
  expected = [b"payload %d " % i * i for i in range(40)]
  content = pb_records.COMPRESSORS[name](pb_records.stream(expected, sort_id=b""))
  path = write(tmp_path, content)
  assert payloads(path, compression_type=CompressType[name]) == expected
  assert payloads(path, compression_type=name) == expected
  for cut in (len(content) // 3, len(content) - 1):
    cut_path = write(tmp_path, content[:cut], "cut.pb")
    with pytest.raises(tf.errors.DataLossError, match="cut.pb: .*(breaks off|truncated)"):
      payloads(cut_path, compression_type=name)


def test_who_decides_about_snappy(tmp_path):
  content = pb_records.hadoop_snappy(pb_records.stream([b"x"], sort_id=b""))
  by_name, other = write(tmp_path, content, "a.snappy"), write(tmp_path, content, "a.pb")
  assert payloads(by_name) == [b"x"]
  assert payloads(other, use_snappy=True) == [b"x"]
  with _flag("dataset_input_use_snappy", True):
    assert payloads(other) == [b"x"]
  with _flag("dataset_input_compression_type", "snappy"):
    assert payloads(other) == [b"x"]
  with _flag("dataset_input_use_snappy", False), pytest.raises(tf.errors.DataLossError):
    payloads(by_name)
  with pytest.raises(ValueError, match="use_snappy together with compression_type GZIP"):
    FilePBDataset(other, use_snappy=True, compression_type=CompressType.GZIP)
  with pytest.raises(ValueError, match="compression_type 'LZ4' is not known"):
    FilePBDataset(other, compression_type="LZ4")


class _flag:
  """Sets a flag for a while."""

  def __init__(self, name, value):
    self._name, self._value = name, value

  def __enter__(self):
    self._old = (flags.FLAGS[self._name].value, flags.FLAGS[self._name].using_default_value)
    flags.FLAGS[self._name].value = self._value

  def __exit__(self, *unused):
    flags.FLAGS[self._name].value, flags.FLAGS[self._name].using_default_value = self._old


def test_truncated_file(tmp_path):
  content = pb_records.stream([b"first", b"second"], sort_id=b"")
  path = write(tmp_path, content[:-3])
  with pytest.raises(
    tf.errors.DataLossError, match=r"part-0.pb: truncated record at offset 21: .* 40.*has_sort_id=True"
  ):
    payloads(path)
  assert payloads(path, allow_truncated=True) == [b"first"]


def test_garbage_lengths(tmp_path):
  path = write(tmp_path, struct.pack("<QQ", 0, 1 << 60) + b"abc")
  with pytest.raises(tf.errors.DataLossError, match="claims a length of 1152921504606846976 bytes.*lagrangex_header"):
    payloads(path)
  path = write(tmp_path, struct.pack("<QQ", 0, 0xFEFEFEFE))
  with pytest.raises(tf.errors.InvalidArgumentError, match="0xfefefefe"):
    payloads(path)


def test_damaged_records_stop_or_are_counted(tmp_path):
  good = example_of(1).SerializeToString()
  content = pb_records.stream([good, b"\xff\xff", good, b"\x0a\x05", good], sort_id=b"") + b"\x01"
  path = write(tmp_path, content)
  arguments = {"input_pb_type": PbType.EXAMPLE, "output_pb_type": PbType.EXAMPLE}
  at = len(pb_records.stream([good], sort_id=b""))
  with pytest.raises(
    tf.errors.FailedPreconditionError,
    match=f"part-0.pb: the record at offset {at}: Failed to parse the Example. .*damaged_records='skip'",
  ):
    list(FilePBDataset(path, **arguments))
  before = int(datasets.damaged_records())
  assert len(list(FilePBDataset(path, damaged_records="skip", **arguments))) == 3
  assert int(datasets.damaged_records()) - before == 3
  with pytest.raises(ValueError, match="damaged_records is 'ignore'"):
    FilePBDataset(path, damaged_records="ignore")


def test_iterators_resume(tmp_path):
  path = write(tmp_path, pb_records.stream([b"%d" % i for i in range(10)], sort_id=b""))
  dataset = FilePBDataset(path, **PLAIN)
  iterator = iter(dataset)
  assert [next(iterator).numpy() for _ in range(4)] == [b"0", b"1", b"2", b"3"]
  saved = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "ckpt"))
  other = iter(dataset)
  tf.train.Checkpoint(iterator=other).restore(saved).assert_consumed()
  assert [element.numpy() for element in other] == [b"%d" % i for i in range(4, 10)]


def test_a_batch_resumes_with_the_next_one(tmp_path):
  path = write(tmp_path, pb_records.stream([batch_of(3), batch_of(2, 10)], sort_id=b""))
  dataset = FilePBDataset(path, input_pb_type=PbType.EXAMPLEBATCH)
  iterator = iter(dataset)
  next(iterator)
  saved = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "ckpt"))
  other = iter(dataset)
  tf.train.Checkpoint(iterator=other).restore(saved)
  rest = parsers.parse_examples(tf.stack(list(other)), [], extra_features=["uid"])
  assert rest["uid"].numpy().tolist() == [[10], [11]]


def test_graph_session_and_collections(tmp_path):
  path = write(tmp_path, pb_records.stream([example_of(4)], sort_id=b""))
  with tf.Graph().as_default() as graph:
    dataset = PBDataset(path, input_pb_type=PbType.EXAMPLE)
    iterator = tf.compat.v1.data.make_initializable_iterator(dataset.batch(1))
    label = parsers.parse_examples(iterator.get_next(), [], ["label"])["label"]
    assert graph.get_collection(datasets.OUTPUT_TYPE_COLLECTION) == ["example"]
    assert datasets.iterator_checkpoints_disabled(graph)
    with tf.compat.v1.Session() as session:
      session.run(iterator.initializer)
      assert session.run(label).tolist() == [[4.0]]
  with tf.Graph().as_default() as graph:
    PBDataset(path, disable_iterator_save_restore=False)
    PBDataset(tf.constant(path))
    assert not datasets.iterator_checkpoints_disabled(graph)


@pytest.fixture
def feed_stdin():
  """A function that makes bytes, fewer than a pipe holds, what this process reads from its standard input."""
  saved = os.dup(0)

  def feed(content):
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    os.dup2(reader, 0)
    os.close(reader)

  yield feed
  os.dup2(saved, 0)
  os.close(saved)


def test_stdin(feed_stdin):
  content = pb_records.stream([b"one", b"three"], sort_id=b"")
  settings = {"output_pb_type": PbType.PLAINTEXT, "use_snappy": True}
  feed_stdin(content)
  assert [element.numpy() for element in PBDataset(buffer_size=100, **settings)] == [b"one", b"three"]
  feed_stdin(content)
  with pytest.raises(tf.errors.DataLossError, match="stdin: the record at offset 19 claims a length of 5 bytes, more"):
    list(PBDataset(buffer_size=4, **settings))


def test_refusals(tmp_path):
  path = write(tmp_path, b"")
  with pytest.raises(ValueError, match="records of type example cannot become examplebatch"):
    FilePBDataset(path, input_pb_type=PbType.EXAMPLE, output_pb_type=PbType.EXAMPLEBATCH)
  with pytest.raises(ValueError, match="'exemple' is no type of record; use one of instance"):
    FilePBDataset(path, input_pb_type="exemple")
  with pytest.raises(ValueError, match="FilePBDataset has no argument has_sortid"):
    FilePBDataset(path, has_sortid=False)
  with pytest.raises(tf.errors.NotFoundError, match="absent.pb"):
    payloads(str(tmp_path / "absent.pb"))
  with pytest.raises(tf.errors.InvalidArgumentError, match="feature_pruning_type is 3"):
    FilePBDataset(path, feature_pruning_type=3)
  with pytest.raises(tf.errors.InvalidArgumentError, match="buffer_size is -1"):
    FilePBDataset(path, buffer_size=-1)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"file_name has shape \[2\]; pass a scalar"):
    FilePBDataset(tf.constant(["a", "b"]))
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be rank 0"):
    FilePBDataset(tf.constant(["a", "b"]))


def test_which_class(tmp_path):
  path = write(tmp_path, b"")
  assert isinstance(PBDataset(""), FilePBDataset)
  assert isinstance(PBDataset(), FilePBDataset)
  assert isinstance(PBDataset(path, 1 << 20, PbType.EXAMPLE), FilePBDataset)
  assert PBDataset(path, None, "example").output_pb_type is PbType.EXAMPLE
  assert isinstance(PBDataset(file_name=path), FilePBDataset)
  assert isinstance(PBDataset([path]), datasets.DistributedFilePBDataset)
  assert isinstance(PBDataset(patterns=[path]), datasets.DistributedFilePBDataset)
  assert isinstance(PBDataset(path, use_tfrecord=True), datasets.TFRecordDatasetWrapper)
  with pytest.raises(NotImplementedError, match="KafkaDataset needs a Kafka consumer"):
    PBDataset(["ab"], group_id="c", servers="d")
  with pytest.raises(NotImplementedError, match="KafkaDataset needs a Kafka consumer"):
    PBDataset(["ab"], "c", "d")
  with pytest.raises(NotImplementedError, match="create_plain_kafka_dataset"):
    datasets.create_plain_kafka_dataset(["ab"], "c", "d")
  with pytest.raises(NotImplementedError, match="ParquetDataset"):
    PBDataset(path, use_parquet=True)
  for refused in (datasets.SplitFlowDataset, datasets.MergeFlowDataset, datasets.DynamicMatchingFilesDataset):
    with pytest.raises(NotImplementedError, match=f"{refused.__name__} "):
      refused(path)
  with pytest.raises(ValueError, match="use_parquet and use_tfrecord are both set"):
    PBDataset(path, use_parquet=True, use_tfrecord=True)
  with pytest.raises(ValueError, match="given twice"):
    PBDataset(path, topics_or_files=path)


def test_the_data_type_flag(tmp_path):
  if "data_type" not in flags.FLAGS:
    flags.DEFINE_string("data_type", None, "Type of records.")
  path = write(tmp_path, pb_records.stream([batch_of(2)], sort_id=b""))
  for spelling in ("example_batch", "examplebatch", "EXAMPLE_BATCH"):
    with _flag("data_type", spelling):
      assert len(list(PBDataset(path))) == 2


def numbered_files(tmp_path, count):
  for i in range(count):
    write(tmp_path, pb_records.stream([b"%d.%d" % (i, k) for k in range(3)], sort_id=b""), f"part-{i}.pb")
  return str(tmp_path / "part-*.pb")


def test_workers_share_files(tmp_path):
  pattern = numbered_files(tmp_path, 5)
  seen = [{e.numpy() for e in PBDataset([pattern], shard_num=2, shard_index=index, **PLAIN)} for index in (0, 1)]
  assert seen[0] == {b"%d.%d" % (i, k) for i in (0, 2, 4) for k in range(3)}
  assert seen[1] == {b"%d.%d" % (i, k) for i in (1, 3) for k in range(3)}
  with pytest.raises(ValueError, match=r"shard_index is 2 of shard_num 2"):
    PBDataset([pattern], shard_num=2, shard_index=2, **PLAIN)


def test_files_are_interleaved_as_asked(tmp_path):
  pattern = numbered_files(tmp_path, 2)
  patterns = [str(tmp_path / "part-1.pb"), str(tmp_path / "part-0.pb")]
  read = lambda **kwargs: [e.numpy() for e in PBDataset(patterns, deterministic=True, **PLAIN, **kwargs)]  # noqa: E731
  assert read(cycle_length=1) == [b"0.0", b"0.1", b"0.2", b"1.0", b"1.1", b"1.2"]
  assert read(cycle_length=2) == [b"0.0", b"1.0", b"0.1", b"1.1", b"0.2", b"1.2"]
  assert read(cycle_length=2, block_length=2) == [b"0.0", b"0.1", b"1.0", b"1.1", b"0.2", b"1.2"]
  assert patterns[0].endswith("part-1.pb"), "the caller's list is the caller's"
  kept = PBDataset([pattern], exclude_fn=lambda name: tf.strings.regex_full_match(name, ".*part-1.pb"), **PLAIN)
  assert {e.numpy()[:1] for e in kept} == {b"1"}
  with pytest.raises(NotImplementedError, match="enable_dynamic_sharding needs queues"):
    PBDataset([pattern], enable_dynamic_sharding=True)


def test_patterns_of_a_flag(tmp_path):
  numbered_files(tmp_path, 3)
  with _flag("dataset_input_patterns", f"{tmp_path}/part-{{INT(1, 9)}}.pb"):
    assert {e.numpy()[:1] for e in PBDataset(**PLAIN)} == {b"1", b"2"}
  with (
    _flag("dataset_input_patterns", f"{tmp_path}/absent-*"),
    pytest.raises(ValueError, match="no file matches any of"),
  ):
    PBDataset()


def test_tfrecords(tmp_path):
  path = str(tmp_path / "a.tfrecord")
  with tf.io.TFRecordWriter(path, "GZIP") as writer:
    writer.write(b"one")
    writer.write(example_of(3).SerializeToString())
  read = list(PBDataset(path, use_tfrecord=True, compression_type="GZIP", cycle_length=9))
  assert read[0].numpy() == b"one"
  assert parsers.parse_examples(read[1][None], [], ["label"])["label"].numpy().tolist() == [[3.0]]
  with _flag("dataset_input_use_tfrecord", True):
    assert len(list(PBDataset([path], compression_type="GZIP"))) == 2


def test_variants_survive_serialization_and_batches(tmp_path):
  path = write(tmp_path, pb_records.stream([example_of(i) for i in range(4)], sort_id=b""))
  dataset = FilePBDataset(path, input_pb_type=PbType.EXAMPLE)
  batch = next(iter(dataset.batch(4)))
  copied = tf.io.parse_tensor(tf.io.serialize_tensor(batch), tf.variant)
  assert parsers.parse_examples(copied, [], ["label"])["label"].numpy().tolist() == [[0.0], [1.0], [2.0], [3.0]]
  shuffled = dataset.shuffle(10, seed=1).repeat(2).prefetch(2)
  assert len(list(shuffled)) == 8
  graph_def = dataset._as_serialized_graph().numpy()
  assert b"PBDataset" in graph_def


def test_every_flag_combination_reads_an_example(tmp_path):
  for lagrangex, skip in itertools.product([False, True], ["stop", "skip"]):
    content = pb_records.stream([example_of(1)], **({"lagrangex": "pc"} if lagrangex else {"sort_id": b"x1"}))
    path = write(tmp_path, content)
    dataset = FilePBDataset(path, input_pb_type=PbType.EXAMPLE, lagrangex_header=lagrangex, damaged_records=skip)
    assert len(list(dataset)) == 1
