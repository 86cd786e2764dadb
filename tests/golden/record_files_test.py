# SPDX-License-Identifier: Apache-2.0
"""Layouts of record files are promises: committed files of every layout and compression are read as they were written.

`records/` was written by `PYTHONPATH=tests python tests/golden/record_files_test.py`, the `.zst` beside it by the zstd
program from `sort_id.pb`.
"""

import pathlib

import pb_records
import pytest

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training.data import PBDataset, parse_example_batch, parse_examples, parse_instances

GOLDEN = pathlib.Path(__file__).parent / "records"
ROWS = 5


def _examples():
  for row in range(ROWS):
    example = example_pb2.Example(label=[row], instance_weight=0.5)
    example.line_id.uid = row
    example.line_id.actions.extend([row, -1])
    example.named_feature.add(name="v1", id=3).feature.fid_v1_list.value.extend([3 << 54 | i for i in range(row)])
    example.named_feature.add(name="v2", id=300).feature.fid_v2_list.value.append(300 << 48 | row)
    example.named_feature.add(name="floats").feature.float_list.value.extend([row, 0.25])
    yield example


def _instances():
  for row in range(ROWS):
    instance = proto_parser_pb2.Instance(fid=[3 << 54 | i for i in range(row)], label=[row], instance_weight=0.5)
    instance.line_id.uid = row
    instance.line_id.actions.extend([row, -1])
    instance.feature.add(name="v2", fid=[300 << 48 | row])
    instance.feature.add(name="floats", float_value=[row, 0.25])
    yield instance


def _batch():
  batch = example_pb2.ExampleBatch(batch_size=ROWS)
  columns = {}
  for example in _examples():
    for feature in example.named_feature:
      column = columns.get(feature.name) or columns.setdefault(
        feature.name, batch.named_feature_list.add(name=feature.name, id=feature.id)
      )
      column.feature.add().CopyFrom(feature.feature)
  for name in ("__LINE_ID__", "__LABEL__", "instance_weight"):
    columns[name] = batch.named_feature_list.add(name=name)
  for example in _examples():
    columns["__LINE_ID__"].feature.add().bytes_list.value.append(example.line_id.SerializeToString(deterministic=True))
    columns["__LABEL__"].feature.add().float_list.value.extend(example.label)
    columns["instance_weight"].feature.add().float_list.value.append(0.5)
  return batch


def _contents():
  sort_id = pb_records.stream(_examples(), sort_id=b"id")
  return {
    "bare.pb": pb_records.stream(_examples()),
    "sort_id.pb": sort_id,
    "lagrangex.pb": pb_records.stream(_examples(), lagrangex="pc"),
    "kafka.pb": pb_records.stream(_examples(), prefix=True, sort_id=b"id", dump=True),
    "instances.pb": pb_records.stream(_instances(), sort_id=b""),
    "batch.pb": pb_records.stream([_batch()], sort_id=b""),
    "sort_id.snappy": pb_records.hadoop_snappy(sort_id),
    "sort_id.gz": pb_records.COMPRESSORS["GZIP"](sort_id),
    "sort_id.zlib": pb_records.COMPRESSORS["ZLIB"](sort_id),
  }


V1 = 3 << 48
EXPECTED = {
  "v1": [[V1 | i for i in range(row)] for row in range(ROWS)],
  "v2": [[300 << 48 | row] for row in range(ROWS)],
  "floats": [[row, 0.25] for row in range(ROWS)],
  "label": [[row] for row in range(ROWS)],
  "instance_weight": [[0.5]] * ROWS,
  "uid": [[row] for row in range(ROWS)],
  "actions": [[row, -1] for row in range(ROWS)],
}
DENSE = (["floats", "label", "instance_weight"], [2, 1, 1], None, ["uid", "actions"], [1, 2])


def _lists(parsed):
  return {n: t.to_list() if hasattr(t, "to_list") else t.numpy().tolist() for n, t in parsed.items()}


@pytest.mark.parametrize(
  "name, arguments",
  [
    ("bare.pb", {"has_sort_id": False}),
    ("sort_id.pb", {}),
    ("lagrangex.pb", {"lagrangex_header": True}),
    ("kafka.pb", {"kafka_dump_prefix": True, "kafka_dump": True}),
    ("sort_id.snappy", {}),
    ("sort_id.gz", {"compression_type": "GZIP"}),
    ("sort_id.zlib", {"compression_type": "ZLIB"}),
    ("sort_id.zst", {"compression_type": "ZSTD"}),
  ],
)
def test_examples(name, arguments):
  (batch,) = PBDataset(str(GOLDEN / name), input_pb_type="example", **arguments).batch(10)
  assert _lists(parse_examples(batch, ["v1", "v2"], *DENSE)) == EXPECTED


@pytest.mark.usefixtures("fresh_slot_names")
def test_instances():
  path = str(GOLDEN / "instances.pb")
  (batch,) = PBDataset(path, input_pb_type="instance").batch(10)
  parsed = _lists(parse_instances(batch, [3], ["v2"], *DENSE))
  assert parsed == {("slot_3" if name == "v1" else name): value for name, value in EXPECTED.items()}
  (batch,) = PBDataset(path, input_pb_type="instance", output_pb_type="example").batch(10)
  parsed = _lists(parse_examples(batch, ["fc_slot_3", "v2"], *DENSE))
  assert parsed == {("fc_slot_3" if name == "v1" else name): value for name, value in EXPECTED.items()}


def test_batches():
  path = str(GOLDEN / "batch.pb")
  (batch,) = PBDataset(path, input_pb_type="examplebatch", output_pb_type="examplebatch")
  assert _lists(parse_example_batch(batch, ["v1", "v2"], *DENSE)) == EXPECTED
  (batch,) = PBDataset(path, input_pb_type="examplebatch").batch(10)
  assert _lists(parse_examples(batch, ["v1", "v2"], *DENSE)) == EXPECTED


def test_files_are_written_alike():
  for name, content in _contents().items():
    if not name.endswith((".gz", ".zlib")):  # those depend on the version of zlib
      assert (GOLDEN / name).read_bytes() == content, name


if __name__ == "__main__":
  GOLDEN.mkdir(exist_ok=True)
  for file_name, file_content in _contents().items():
    (GOLDEN / file_name).write_bytes(file_content)
