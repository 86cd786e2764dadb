# SPDX-License-Identifier: Apache-2.0
"""Signatures of functions, and their calls over gRPC."""

import contextlib
import gc
import os
import types

import prediction_service
import pytest

from monolith.native_training import distributed_serving_ops, tf_estimator
from monolith.native_training.model_export import export_context, export_utils, saved_model_exporters
from monolith.native_training.model_export.export_context import ExportMode

import numpy as np
import tensorflow as tf


@pytest.fixture(name="graph")
def _graph():
  """The default graph of a standalone export."""
  with export_context.enter_export_mode(ExportMode.STANDALONE), tf.Graph().as_default() as graph:
    yield graph


@pytest.fixture(autouse=True)
def _forget_addresses():
  yield
  distributed_serving_ops.set_remote_addresses({})


def _sum_of(d):
  return d["a"] * 3 + d["b"] * 4


def test_basic(graph):
  helper = export_utils.RemotePredictHelper("test_func", {"a": tf.constant(1), "b": tf.constant(2)}, _sum_of)
  result = helper.call_remote_predict("model_name")
  assert isinstance(result, tf.Tensor) and result.dtype == tf.int32 and result.shape == []
  (signature,) = export_context.get_current_export_ctx().signatures(graph)
  assert signature.name == "test_func"
  assert list(signature.inputs) == ["Const_remote_input_ph_0", "Const_1_remote_input_ph_0"]
  assert [tensor.op.type for tensor in signature.inputs.values()] == ["Placeholder"] * 2
  ((name, output),) = signature.outputs.items()
  assert name == output.name.replace(":", "_")
  with tf.compat.v1.Session() as session:
    feeds = dict(zip(signature.inputs.values(), (5, 7), strict=True))
    assert session.run(output, feeds) == 43


def _signature_defs(graph):
  return {
    signature.name: saved_model_exporters.BaseExporter.build_signature(signature.inputs, signature.outputs)
    for signature in export_context.get_current_export_ctx().signatures(graph)
  }


def _nested(d):
  ragged, weights = d["features"]
  return {"sums": tf.reduce_sum(ragged, axis=1) * weights, "doubled": [ragged * 2, d["scale"]]}


@pytest.mark.parametrize("address_of", ["ranker:dense_0", "dense:0", "ps:3"])
def test_calls_return_the_structure_of_the_function(graph, address_of):
  values = tf.compat.v1.placeholder_with_default([1.0, 2.0, 3.0], [None])  # of any length
  ragged = tf.RaggedTensor.from_row_lengths(values, [2, 1])
  inputs = {"features": (ragged, tf.constant([10.0, 1.0])), "scale": 4}
  helper = export_utils.RemotePredictHelper("nested", inputs, _nested)
  old_model_name = "" if address_of == "ps:3" else "dense_0"
  local = helper.call_remote_predict("ranker:dense_0", old_model_name=old_model_name, task=3)
  others = {"features": (tf.ragged.constant([[], [5.0]]), tf.constant([1.0, 2.0])), "scale": 4}
  other = helper.call_remote_predict("ranker:dense_0", others, old_model_name, 3)
  assert local["sums"].shape == [2] and local["doubled"][1] == 4
  asked = "dense_0" if address_of == "dense:0" else "ranker:dense_0"
  own_threads = tf.compat.v1.ConfigProto(use_per_session_threads=True)  # callers hold theirs while they wait
  with tf.compat.v1.Session(config=own_threads) as server, tf.compat.v1.Session() as session:
    with prediction_service.serving(server, _signature_defs(graph), asked) as (address, service):
      distributed_serving_ops.set_remote_addresses({address_of: [address], "other:ps_0": ["localhost:1"], "no": []})
      found, second = session.run(
        [(local["sums"], local["doubled"][0]), (other["sums"], other["doubled"][0])],
      )
    assert found[0].tolist() == [30, 3] and found[1].to_list() == [[2, 4], [6]]
    assert second[0].tolist() == [0, 10] and second[1].to_list() == [[], [10]]
  assert {request.model_spec.signature_name for request in service.requests} == {"nested"}
  assert all(len(request.output_filter) == 3 for request in service.requests)
  assert not service.requests[0].model_spec.HasField("version")


def test_inputs_of_another_kind_are_refused(graph):
  helper = export_utils.RemotePredictHelper("f", {"a": tf.constant([1]), "b": tf.constant([2])}, _sum_of)
  for inputs in ({"a": tf.constant([1])}, {"a": tf.constant([1]), "b": tf.constant([2.0])},
                 {"a": tf.constant([1]), "b": tf.constant([2, 3])}):  # fmt: skip
    with pytest.raises(ValueError, match=r"'f': input_tensors are .* the signature takes \['int32 \(1,\)'"):
      helper.call_remote_predict("m", inputs)


def test_functions_that_are_no_signature(graph):
  tensor = tf.constant([1])
  with pytest.raises(ValueError, match="'f': the function returns no tensor"):
    export_utils.RemotePredictHelper("f", tensor, lambda x: None)
  with pytest.raises(ValueError, match="'f': outputs .* do not all have names of their own"):
    export_utils.RemotePredictHelper("f", tensor, lambda x: [x, x])


def test_a_signature_needs_a_graph_and_an_export():
  with pytest.raises(ValueError, match=r"'f': a signature belongs to a graph .* enter_export_mode"):
    export_utils.RemotePredictHelper("f", tf.constant(1), tf.identity)
  with tf.Graph().as_default(), pytest.raises(ValueError, match="'f': a signature belongs to a graph"):
    export_utils.RemotePredictHelper("f", tf.constant(1), tf.identity)


@pytest.mark.parametrize("place", [
  lambda call: call(), lambda call: tf.function(call)(), lambda call: tf.cond(tf.constant(True), call, call)
], ids=["graph", "function", "branch"])  # fmt: skip
def test_models_that_call_others_are_not_exported(tmp_path, place):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.train.create_global_step()
    session.run(tf.compat.v1.global_variables_initializer())
    tf.compat.v1.train.Saver().save(session, str(tmp_path / "model" / "model.ckpt"), 1)

  def model_fn(features, mode):
    helper = export_utils.RemotePredictHelper("part", features, tf.identity)
    predictions = place(lambda: helper.call_remote_predict("ranker:dense_0"))
    return tf_estimator.EstimatorSpec(mode, predictions=predictions)

  def receiver():
    values = tf.compat.v1.placeholder(tf.float32, [None])
    return tf_estimator.export.ServingInputReceiver(values, values)

  exporter = saved_model_exporters.StandaloneExporter(model_fn, str(tmp_path / "model"), str(tmp_path / "out"))
  with pytest.raises(ValueError, match=r"calls remote_predict \(signature 'part' of model 'ranker:dense_0'\)"):
    exporter.export_saved_model(receiver)
  assert not os.path.exists(tmp_path / "out")


# ---- remote_predict itself, eagerly ----


@pytest.fixture(name="doubler")
def _doubler():
  """A server of x -> 2 x, called `m`."""
  with tf.Graph().as_default():
    x = tf.compat.v1.placeholder(tf.float32, [None])
    signature = saved_model_exporters.BaseExporter.build_signature({"x": x}, {"y": 2 * x})
    session = tf.compat.v1.Session()
  with (
    contextlib.closing(session),
    prediction_service.serving(session, {"serving_default": signature}, "m") as (address, service),
  ):
    yield address, service


def _double(**arguments):
  arguments = {"output_types": None, "max_rpc_deadline_millis": 20000, **arguments}
  return distributed_serving_ops.remote_predict(["x"], [tf.constant([1.0, 2.0])], ["y"], "m", 0, "", **arguments)


def test_outputs_are_floats_by_default_and_versions_are_sent(doubler):
  address, service = doubler
  distributed_serving_ops.set_remote_addresses({"m": [address]})
  assert _double()[0].numpy().tolist() == [2, 4]
  _double(model_version=12)
  assert [request.model_spec.version.value for request in service.requests] == [0, 12]


def test_a_replica_that_is_gone_is_passed_over(doubler):
  address, service = doubler
  distributed_serving_ops.set_remote_addresses({"m": [address, "localhost:1"]})
  for _ in range(8):
    assert _double()[0].numpy().tolist() == [2, 4]
  assert len(service.requests) == 8


def test_failed_calls_say_why(doubler):
  address, _ = doubler
  with pytest.raises(RuntimeError, match="UNAVAILABLE: no server is known for 'm' or 'ps:0', only for: none"):
    _double()
  distributed_serving_ops.set_remote_addresses({"m": [address], "ps:0": ["localhost:1"]})
  with pytest.raises(RuntimeError, match='FAILED_PRECONDITION: Serving signature key "other" not found'):
    _double(signature_name="other")
  with pytest.raises(RuntimeError, match="output 'y' of the answer is float32; it must be int64"):
    _double(output_types=[tf.int64])
  distributed_serving_ops.set_remote_addresses({"m": ["localhost:1"]})
  with pytest.raises(RuntimeError, match="localhost:1 does not answer .*: UNAVAILABLE"):
    _double()


def test_new_addresses_leave_calls_under_way_alone(doubler, monkeypatch):
  address, service = doubler
  distributed_serving_ops.set_remote_addresses({"m": [address]})

  def begin(request):
    distributed_serving_ops.set_remote_addresses({"m": ["localhost:1"]})
    gc.collect()

  monkeypatch.setattr(service, "requests", types.SimpleNamespace(append=begin))
  (output,) = _double()
  assert output.numpy().tolist() == [2.0, 4.0]
  with pytest.raises(RuntimeError, match="localhost:1 does not answer"):
    _double()


def test_failed_calls_in_graphs_say_why():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    (output,) = _double()
    with pytest.raises(tf.errors.UnknownError, match="UNAVAILABLE: no server is known for 'm' or 'ps:0'"):
      session.run(output)


def test_failed_calls_may_pass():
  floats, text = distributed_serving_ops.remote_predict(
    [], [], ["y", "text"], "m", 0, "", fail_op_on_rpc_error=False, output_types=[tf.float32, tf.string]
  )
  assert (floats.numpy(), text.numpy()) == (np.float32(0), b"")


@pytest.mark.parametrize("arguments, message", [
  ({"model_name": None}, "model_name is None"),
  ({"max_rpc_deadline_millis": 0}, "max_rpc_deadline_millis is 0; it must be > 0"),
  ({"input_tensors": []}, r"1 names \['x'\] for 0 input_tensors"),
  ({"output_types": [tf.int64] * 2}, r"1 names \['y'\] for 2 output_types"),
])  # fmt: skip
def test_calls_that_make_no_sense(arguments, message):
  given = {"input_tensor_alias": ["x"], "input_tensors": [tf.constant(1)], "output_tensor_alias": ["y"],
           "model_name": "m", "task": 0, "old_model_name": "", **arguments}  # fmt: skip
  with pytest.raises(ValueError, match=message):
    distributed_serving_ops.remote_predict(**given)
