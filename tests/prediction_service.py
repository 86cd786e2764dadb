# SPDX-License-Identifier: Apache-2.0
"""A server of TensorFlow Serving's kind on loopback, for one model whose graph and session a test brings."""

import contextlib
from concurrent import futures

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
  """Answers for `model_name`, out of a session; keeps the requests."""

  def __init__(self, session, signatures, model_name):
    self._session, self._signatures, self._model_name = session, signatures, model_name
    self.requests = []

  def _signature(self, spec, context):
    if spec.name != self._model_name:
      context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
    name = spec.signature_name or "serving_default"
    if name not in self._signatures:
      context.abort(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    return self._signatures[name]

  def GetModelMetadata(self, request, context):
    if list(request.metadata_field) != ["signature_def"]:
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, "metadata_field must be signature_def")
    self._signature(request.model_spec, context)
    response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=request.model_spec)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in self._signatures.items():
      signatures.signature_def[name].CopyFrom(signature)
    response.metadata["signature_def"].Pack(signatures)
    return response

  def Predict(self, request, context):
    self.requests.append(request)
    answers = run(self._session, self._signature(request.model_spec, context), request)
    response = predict_pb2.PredictResponse(model_spec=request.model_spec)
    for name, value in answers.items():
      response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return response


def run(session, signature, request):
  """{output: array} of a PredictRequest; as strict about its inputs as a server."""
  assert set(request.inputs) == set(signature.inputs), (set(request.inputs), set(signature.inputs))
  feeds = {}
  for name, value in request.inputs.items():
    info = signature.inputs[name]
    assert value.dtype == info.dtype
    assert tf.TensorShape(value.tensor_shape).is_compatible_with(tf.TensorShape(info.tensor_shape))
    feeds[info.name] = tf.make_ndarray(value)
  names = list(request.output_filter) or list(signature.outputs)
  return session.run({name: signature.outputs[name].name for name in names}, feeds)


@contextlib.contextmanager
def loaded(path):
  """(session, signatures) of a SavedModel."""
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    yield session, dict(tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def)


@contextlib.contextmanager
def serving(session, signatures, model_name):
  """(address, service) of a running server."""
  server = grpc.server(futures.ThreadPoolExecutor(2))
  service = Service(session, signatures, model_name)
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
  port = server.add_insecure_port("localhost:0")
  server.start()
  try:
    yield f"localhost:{port}", service
  finally:
    server.stop(None).wait()
