# SPDX-License-Identifier: Apache-2.0
"""The programs that write and show warm-up files."""

import subprocess
import sys

import doctests
import pb_records
import pytest
import record_framing
import records
import tool_flags
from absl import app, flags, logging

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training.model_export import data_gen_utils, warmup_data_decoder, warmup_data_gen
from monolith.native_training.model_export import warmup_example_batch

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2


def _requests(path):
  found = record_framing.tf_records(path.read_bytes())
  return [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in found]


def _rows(request):
  (tensor,) = request.inputs.values()
  return tf.make_ndarray(tensor).tolist()


def _stream(tmp_path, kind, n, **framing):
  """A file of n records and the records."""
  if kind == "example_batch":
    messages = [data_gen_utils.gen_example_batch(["slot_7"], batch_size=3, rng=i) for i in range(n)]
  else:
    messages = records.random_records(kind, n, seed=0)
  path = tmp_path / f"{kind}.pb"
  path.write_bytes(pb_records.stream(messages, **framing))
  return str(path), [message.SerializeToString() for message in messages]


def test_examples_of_the_docstrings():
  doctests.run_examples(warmup_data_gen)


@pytest.mark.parametrize("name, dtype", [
  ("int64", tf.int64), ("int", tf.int64), ("long", tf.int64), ("Int32", tf.int32), ("float", tf.float32),
  ("float32", tf.float32), ("double", tf.float64), ("string", tf.string), ("str", tf.string), ("9", tf.int64),
  ("1", tf.float32), ("bool", tf.bool),
])  # fmt: skip
def test_types_by_name(name, dtype):
  assert warmup_data_gen.tf_dtype(name) == dtype


@pytest.mark.parametrize("name", ["int46", "", "99"])
def test_names_of_no_type(name):
  with pytest.raises(ValueError, match=f"'{name}' is no type; write one of float"):
    warmup_data_gen.tf_dtype(name)


@pytest.mark.parametrize("framing, arguments", [
  ({"sort_id": b""}, {}),
  ({"lagrangex": "clicks"}, {"lagrangex_header": True}),
  ({"sort_id": b"key", "prefix": True, "dump": True}, {"kafka_dump": True, "kafka_dump_prefix": True}),
  ({}, {"sort_id": False}),
])  # fmt: skip
def test_reader_gives_batches_of_records(tmp_path, framing, arguments):
  path, expected = _stream(tmp_path, "instance", 10, **framing)
  reader = warmup_data_gen.PBReader(path, 4, "instance", **arguments)
  assert list(reader) == [expected[:4], expected[4:8], expected[8:]]
  reader.set_max_iter(9)
  assert list(reader) == [expected[:4], expected[4:8]]


def test_an_example_batch_is_a_batch(tmp_path):
  path, expected = _stream(tmp_path, "example_batch", 3, sort_id=b"")
  reader = warmup_data_gen.PBReader(path, 64, "example_batch")
  reader.set_max_iter(2)
  assert list(reader) == [[expected[0]], [expected[1]]]


def test_reader_refuses(tmp_path):
  with pytest.raises(ValueError, match="variant_type is 'json'; use one of instance, example, example_batch"):
    warmup_data_gen.PBReader("f", variant_type="json")
  with pytest.raises(ValueError, match="batch_size is 0"):
    warmup_data_gen.PBReader("f", batch_size=0)
  with pytest.raises(ValueError, match="max_records is 3, less than a batch of 64"):
    warmup_data_gen.PBReader("f").set_max_iter(3)
  (tmp_path / "f").write_bytes(pb_records.stream([b"\xff\xff"], sort_id=b""))
  with pytest.raises(ValueError, match="a record of batch 0 is no instance: .*check variant_type and the headers"):
    list(warmup_data_gen.PBReader(str(tmp_path / "f")))


@pytest.mark.parametrize("kind, input_name", [
  ("instance", "instances"), ("example", "examples"), ("example_batch", "example_batch")
])  # fmt: skip
def test_requests_with_records_of_a_file(tmp_path, kind, input_name):
  path, expected = _stream(tmp_path, kind, 5, sort_id=b"")
  logs = list(warmup_data_gen.gen_prediction_log_from_file(path, "m", ["second"], kind, batch_size=2))
  requests = [log.predict_log.request for log in logs]
  assert [row for request in requests for row in _rows(request)] == expected
  assert [r.model_spec.signature_name for r in requests][:3] == ["serving_default", "second", "serving_default"]
  assert {r.model_spec.name for r in requests} == {"m"} and {name for r in requests for name in r.inputs} == {
    input_name
  }
  size = 1 if kind == "example_batch" else 2
  assert all(len(_rows(request)) == size for request in requests[:-1]) and len(requests) == (5 if size == 1 else 3)


def test_program_makes_requests_of_a_file(tmp_path):
  path, expected = _stream(tmp_path, "example", 6, lagrangex="clicks")
  out = tmp_path / "new" / "warmup"
  tool_flags.run_main(
    warmup_data_gen, f"--output_path={out}", f"--file_name={path}", "--variant_type=example", "--batch_size=4",
    "--max_records=6", "--lagrangex_header", "--model_name=ranker",
  )  # fmt: skip
  (request,) = _requests(out)
  assert _rows(request) == expected[:4] and request.model_spec.name == "ranker"


def test_program_reads_stdin_in_bytes(tmp_path):
  path, expected = _stream(tmp_path, "instance", 4, sort_id=b"")
  with open(path, "rb") as file:
    command = [sys.executable, "-m", warmup_data_gen.__name__, f"--output_path={tmp_path / 'warmup'}", "--batch_size=4"]
    done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  (request,) = _requests(tmp_path / "warmup")
  assert _rows(request) == expected


def test_program_makes_requests_by_chance(tmp_path):
  before = flags.FLAGS.flag_values_dict()
  listed = tmp_path / "feature_list.conf"
  listed.write_text("feature_name=f_city slot=310\n")
  arguments = (
    "--gen_type=random", "--variant_type=instance", "--fidv1_features=1,200", "--fidv2_features=f_city,slot_9",
    "--dense_features=age,count", "--dense_feature_shapes=2,1", "--dense_feature_types=float,int64",
    "--extra_features=actions", "--extra_feature_shapes=3", f"--feature_list={listed}", "--batch_size=3",
    "--max_records=7", "--signature_name=second", "--seed=1",
  )  # fmt: skip
  tool_flags.run_main(warmup_data_gen, f"--output_path={tmp_path / 'warmup'}", *arguments)
  requests = _requests(tmp_path / "warmup")
  assert [request.model_spec.signature_name for request in requests] == ["serving_default", "second"]
  for row in _rows(requests[0]):
    instance = proto_parser_pb2.Instance.FromString(row)
    features = {feature.name: feature for feature in instance.feature}
    assert {fid >> 54 for fid in instance.fid} == {1, 200}
    assert (features["f_city"].fid[0] >> 48, features["slot_9"].fid[0] >> 48) == (310, 9)
    assert len(features["age"].float_value) == 2 and len(features["count"].int64_value) == 1
    assert len(instance.line_id.actions) == 3
  assert flags.FLAGS.flag_values_dict() == before  # no other test runs with this one's


@pytest.mark.parametrize("arguments, message", [
  ([], "--output_path is not set"),
  (["--output_path=f", "extra"], "unexpected arguments: extra"),
  (["--output_path=f", "--gen_type=random"], "no feature with fids is given for records of type instance"),
  (["--output_path=f", "--gen_type=random", "--sparse_features=a", "--dense_feature_shapes=1,x"],
   "--dense_feature_shapes is '1,x'; write integers"),
])  # fmt: skip
def test_command_lines_that_say_too_little(arguments, message):
  with pytest.raises(app.UsageError, match=message):
    tool_flags.run_main(warmup_data_gen, *arguments)


def test_an_empty_input_leaves_no_file(tmp_path):
  (tmp_path / "empty").write_bytes(b"")
  with pytest.raises(ValueError, match="there is no warm-up request"):
    tool_flags.run_main(warmup_data_gen, f"--output_path={tmp_path / 'out'}", f"--file_name={tmp_path / 'empty'}")
  assert not (tmp_path / "out").exists()


# ---- decoder ----


def _logged(monkeypatch, *arguments):
  lines = []
  monkeypatch.setattr(logging, "info", lambda text, *args: lines.append(text % args))
  tool_flags.run_main(warmup_data_decoder, *arguments)
  return lines


def test_decoder_shows_requests_without_their_records(tmp_path, monkeypatch):
  args = data_gen_utils.ParserArgs(sparse_features=["slot_7"], batch_size=2, max_records=5)
  path = tmp_path / "warmup"
  with tf.io.TFRecordWriter(str(path)) as writer:
    for log in data_gen_utils.gen_prediction_log(args, rng=0):
      writer.write(log.SerializeToString())
  assert list(warmup_data_decoder.decode_requests(str(path))) == _requests(path)
  lines = _logged(monkeypatch, f"--file_name={path}")
  assert [line.split(":")[0] for line in lines] == ["0", "1"]
  for line in lines:
    assert line.count("string_val: ...\n") == 2 and 'string_val: "' not in line
    assert 'name: "entry"' in line and 'key: "examples"' in line and "size: 2" in line


def test_decoder_refuses_other_files(tmp_path):
  for content, message in (
    (b"\xff\xff", "record 1 is no PredictionLog"),
    (prediction_log_pb2.PredictionLog(regress_log={}).SerializeToString(), "record 1 is a regress_log"),
  ):
    good = prediction_log_pb2.PredictionLog(predict_log={}).SerializeToString()
    (tmp_path / "f").write_bytes(record_framing.tf_record(good) + record_framing.tf_record(content))
    with pytest.raises(ValueError, match=message):
      list(warmup_data_decoder.decode_requests(str(tmp_path / "f")))


# ---- saved requests ----


def test_saved_requests_become_a_warm_up_file(tmp_path):
  folder = tmp_path / "requests"
  (folder / "below").mkdir(parents=True)
  for name in ("b", "a"):
    request = predict_pb2.PredictRequest(output_filter=["output"])
    request.model_spec.name, request.model_spec.signature_name = "other", "other"
    batch = example_pb2.ExampleBatch(batch_size=2, named_feature_list=[{"name": name}])
    request.inputs["example_batch"].CopyFrom(tf.make_tensor_proto([batch.SerializeToString()]))
    (folder / name).write_bytes(request.SerializeToString())
  tool_flags.run_main(warmup_example_batch, f"--input_folder={folder}", f"--output_path={tmp_path / 'warmup'}")
  requests = _requests(tmp_path / "warmup")
  names = [example_pb2.ExampleBatch.FromString(_rows(r)[0]).named_feature_list[0].name for r in requests]
  assert names == ["a", "b"]
  for request in requests:
    assert (request.model_spec.name, request.model_spec.signature_name) == ("default", "serving_default")
    assert list(request.output_filter) == ["output"]


@pytest.mark.parametrize("content, message", [
  (b"\xff\xff", "f is no serialized PredictRequest "),
  (b"", "f is no serialized PredictRequest, or one without inputs"),
])  # fmt: skip
def test_files_that_are_no_requests_are_named(tmp_path, content, message):
  (tmp_path / "in").mkdir()
  (tmp_path / "in" / "f").write_bytes(content)
  with pytest.raises(ValueError, match=message):
    tool_flags.run_main(warmup_example_batch, f"--input_folder={tmp_path / 'in'}", f"--output_path={tmp_path / 'out'}")
  assert not (tmp_path / "out").exists()
