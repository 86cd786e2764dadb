# SPDX-License-Identifier: Apache-2.0
"""The demo's export: trained, warmed up, asked in this process and over gRPC."""

import os
import subprocess
import sys

import doctests
import grpc
import numpy as np
import prediction_service
import pytest
import tool_flags
from absl import app, logging

from idl.matrix.proto import proto_parser_pb2
from monolith.native_training import cpu_training, model
from monolith.native_training.model_export import demo_export, demo_predictor, demo_predictor_client
from monolith.native_training.model_export import warmup_data_decoder, warmup_data_gen
from monolith.native_training.model_export.export_context import ExportMode

import tensorflow as tf

_WARMUP = os.path.join("assets.extra", "tf_serving_warmup_requests")


def _params():
  params = model.TestFFMModel.params()
  params.name = "test_ffm_model"
  params.train.per_replica_batch_size = 64
  return params


@pytest.fixture(scope="module", name="model_dir")
def _model_dir(tmp_path_factory):
  model_dir = str(tmp_path_factory.mktemp("demo") / "test_ffm_model")
  cpu_training.local_train(_params(), num_ps=5, model_dir=model_dir, steps=30)
  return model_dir


@pytest.fixture(scope="module", name="exported")
def _exported(model_dir, tmp_path_factory):
  """An export with made-up warm-up requests."""
  base = tmp_path_factory.mktemp("standalone_saved_model")
  absent = base / "absent"
  path = demo_export.export_saved_model(model_dir, str(base), 5, ExportMode.STANDALONE, warmup_file=str(absent))
  assert not absent.exists()
  return path.decode()


def _instance(fids):
  """A serialized Instance of version-1 fids, from {slot: numbers below the slot}."""
  instance = proto_parser_pb2.Instance()
  instance.fid.extend(slot << 54 | fid for slot, below in fids.items() for fid in below)
  return instance.SerializeToString()


def _example(fids):
  """What the model was trained on, from the same."""
  example = tf.train.Example()
  example.features.feature["label"].float_list.value.append(0)
  for slot, below in fids.items():
    example.features.feature[f"feature_{slot}"].int64_list.value.extend((slot << 48) + fid for fid in below)
  return example.SerializeToString()


def test_instances_are_answered_as_the_examples_that_the_model_was_trained_on(model_dir, exported, tmp_path):
  rng = np.random.default_rng(0)
  rows = [{slot: rng.integers(5, size=rng.integers(1, 4)).tolist() for slot in range(6)} for _ in range(20)]
  with prediction_service.loaded(exported) as (session, signatures):
    signature = signatures["serving_default"]
    assert list(signature.inputs) == ["instances"] and list(signature.outputs) == ["output"]
    assert signature.inputs["instances"].dtype == tf.string.as_datatype_enum
    output, feed = signature.outputs["output"].name, signature.inputs["instances"].name
    answers = session.run(output, {feed: [_instance(row) for row in rows]})
    (unseen,) = session.run(output, {feed: [_instance({slot: [77] for slot in range(6)})]})
  task = _params().instantiate()
  training = cpu_training.CpuTraining(cpu_training.CpuTrainingConfig(num_ps=5), task)
  exporter = demo_export.saved_model_exporters.StandaloneExporter(
    training.create_model_fn(), model_dir, str(tmp_path / "by_examples")
  )
  by_examples = exporter.export_saved_model(task.create_serving_input_receiver_fn()).decode()
  with prediction_service.loaded(by_examples) as (session, signatures):
    signature = signatures["serving_default"]
    feeds = {signature.inputs["instances"].name: [_example(row) for row in rows]}
    expected = session.run(signature.outputs["output"].name, feeds)
  np.testing.assert_allclose(answers, expected, rtol=1e-6)
  assert unseen == 0.5 and np.ptp(answers) > 0.01


def _run_all(export, requests):
  """Runs every request of a warm-up file against the export, in a session of its own."""
  with prediction_service.loaded(export) as (session, signatures):
    return [prediction_service.run(session, signatures[r.model_spec.signature_name], r)["output"] for r in requests]


def test_every_made_up_warm_up_request_runs(exported):
  requests = list(warmup_data_decoder.decode_requests(os.path.join(exported, _WARMUP)))
  assert len(requests) == 15
  for answer in _run_all(exported, requests):
    assert answer.shape == (64,) and np.all((answer > 0) & (answer < 1))
  rows = tf.make_ndarray(requests[0].inputs["instances"]).tolist()
  slots = {fid >> 54 for row in rows for fid in proto_parser_pb2.Instance.FromString(row).fid}
  assert slots == {1, 2, 3, 4, 5}  # no fid is made up for slot 0


def test_a_warm_up_file_of_the_tool_is_taken_into_the_export(model_dir, tmp_path):
  warmup = tmp_path / "warmup"
  tool_flags.run_main(
    warmup_data_gen, f"--output_path={warmup}", "--gen_type=random", "--fidv1_features=0,1,2,3,4,5", "--batch_size=8",
    "--max_records=20",
  )  # fmt: skip
  base = tmp_path / "saved_model"
  path = demo_export.export_saved_model(model_dir, str(base), 5, ExportMode.STANDALONE, str(warmup)).decode()
  with open(os.path.join(path, _WARMUP), "rb") as file:
    assert file.read() == warmup.read_bytes()
  answers = _run_all(path, warmup_data_decoder.decode_requests(os.path.join(path, _WARMUP)))
  assert [answer.shape for answer in answers] == [(8,), (8,)]


def test_exports_without_warm_up_requests(model_dir, tmp_path):
  path = demo_export.export_saved_model(model_dir, str(tmp_path), 5, ExportMode.STANDALONE).decode()
  assert not os.path.exists(os.path.join(path, "assets.extra"))


def test_modes_that_are_not_exported(model_dir, tmp_path):
  with pytest.raises(ValueError, match="DistributedExporter is not supported yet"):
    demo_export.export_saved_model(model_dir, str(tmp_path), 5, ExportMode.DISTRIBUTED)
  with pytest.raises(ValueError, match="export_mode is ExportMode.NONE"):
    demo_export.export_saved_model(model_dir, str(tmp_path), 5, ExportMode.NONE)


@pytest.mark.slow
def test_programs_export_and_predict(model_dir, tmp_path):
  done = subprocess.run(
    [sys.executable, "-m", demo_export.__name__, f"--model_dir={model_dir}", f"--export_base={tmp_path}", "--num_ps=5",
     "--export_mode=Standalone"],
    capture_output=True, text=True, check=True,
  )  # fmt: skip
  path = done.stdout.strip().removeprefix("exported to ")
  assert os.listdir(tmp_path) == [os.path.basename(path)]
  done = subprocess.run(
    [sys.executable, "-m", demo_predictor.__name__, f"--saved_model_path={path}", "--batch_size=3"],
    capture_output=True, text=True, check=True,
  )  # fmt: skip
  assert "serving_default: {'output': array([" in done.stderr


# ---- predictor ----


def test_examples_of_the_docstrings():
  doctests.run_examples(demo_predictor)


def test_instances_have_five_fids_a_slot():
  instance = proto_parser_pb2.Instance.FromString(demo_predictor.generate_demo_instance(0))
  assert [fid >> 54 for fid in instance.fid] == [slot for slot in range(6) for _ in range(5)]
  assert all(fid & (1 << 54) - 1 < 30 for fid in instance.fid)
  assert demo_predictor.random_generate_instances(3, 1) == demo_predictor.random_generate_instances(3, 1)
  assert len(set(demo_predictor.random_generate_instances(3))) == 3


def test_fids_that_do_not_fit():
  with pytest.raises(ValueError, match="slot 1024 and fid 1"):
    demo_predictor.make_fid_v1(1024, 1)
  with pytest.raises(ValueError, match="a fid 54 below it"):
    demo_predictor.make_fid_v1(1, 1 << 54)


def _signature(**inputs):
  placeholders = {}
  with tf.Graph().as_default():
    for name, (dtype, shape) in inputs.items():
      placeholders[name] = tf.compat.v1.saved_model.build_tensor_info(tf.compat.v1.placeholder(dtype, shape))
  return placeholders


def test_feeds_by_type_and_shape():
  inputs = _signature(i=(tf.int64, [None, 3]), f=(tf.float32, [2, None]), s=(tf.string, [None]))
  feeds = demo_predictor.random_feeds(inputs, 40, rng=0)
  assert feeds["i"].dtype == np.int64 and feeds["i"].shape == (40, 3) and set(np.ravel(feeds["i"])) == set(range(30))
  assert feeds["f"].dtype == np.float32 and feeds["f"].shape == (2, 40) and 0 <= feeds["f"].min() < feeds["f"].max() < 1
  assert len(feeds["s"]) == 40 and proto_parser_pb2.Instance.FromString(feeds["s"][0]).fid
  (example,) = demo_predictor.random_feeds(_signature(s=(tf.string, [None])), 1, use_example=True)["s"]
  assert "feature_5" in tf.train.Example.FromString(example).features.feature


def test_feeds_that_cannot_be_made_up():
  with pytest.raises(ValueError, match="input 'd' has type float64"):
    demo_predictor.random_feeds(_signature(d=(tf.float64, [None])), 4)
  with pytest.raises(ValueError, match=r"input 's' is strings of shape \[4, 2\]"):
    demo_predictor.random_feeds(_signature(s=(tf.string, [None, 2])), 4)


def test_predict_returns_what_the_model_says(exported):
  outputs = demo_predictor.predict(exported, batch_size=7, rng=3)
  with prediction_service.loaded(exported) as (session, signatures):
    signature = signatures["serving_default"]
    feeds = {signature.inputs["instances"].name: demo_predictor.random_generate_instances(7, 3)}
    np.testing.assert_array_equal(outputs["output"], session.run(signature.outputs["output"].name, feeds))
  assert demo_predictor.predict(exported)["output"].shape == (128,)
  with pytest.raises(KeyError, match="has no signature 'other'; it has"):
    demo_predictor.predict(exported, signature="other")
  with pytest.raises(app.UsageError, match="--saved_model_path is not set"):
    tool_flags.run_main(demo_predictor)


# ---- client ----


def test_the_client_asks_a_server(exported, capsys, monkeypatch):
  logged = []
  monkeypatch.setattr(logging, "info", lambda text, *args: logged.extend(args))
  with (
    prediction_service.loaded(exported) as (session, signatures),
    prediction_service.serving(session, signatures, "demo") as (address, service),
  ):
    tool_flags.run_main(
      demo_predictor_client, f"--server={address}", "--model_name=demo", "--signature_name=serving_default",
      "--batch_size=9",
    )  # fmt: skip
    with pytest.raises(KeyError, match="model 'demo' has no signature 'other'"):
      tool_flags.run_main(demo_predictor_client, f"--server={address}", "--model_name=demo", "--signature_name=other")
    with pytest.raises(grpc.RpcError, match="Servable not found for request: Latest"):
      tool_flags.run_main(demo_predictor_client, f"--server={address}")
    (request,) = service.requests
    (response,) = logged
    expected = prediction_service.run(session, signatures["serving_default"], request)["output"]
  assert capsys.readouterr().out.startswith(f"signatures: {', '.join(sorted(signatures))}\n")
  assert tf.make_ndarray(request.inputs["instances"]).shape == (9,)
  np.testing.assert_array_equal(tf.make_ndarray(response.outputs["output"]), expected)


def test_client_sends_examples_and_numbers():
  signature = tf.compat.v1.saved_model.build_signature_def(
    _signature(s=(tf.string, [None]), f=(tf.float32, [None, 2]), i=(tf.int64, [])), {}
  )
  request = demo_predictor_client.make_request(signature, "m", "s", 3, use_example=True, rng=0)
  arrays = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
  assert {name: array.shape for name, array in arrays.items()} == {"s": (3,), "f": (3, 2), "i": ()}
  assert "label" in tf.train.Example.FromString(arrays["s"][0]).features.feature
  assert (request.model_spec.name, request.model_spec.signature_name) == ("m", "s")
