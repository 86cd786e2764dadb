# SPDX-License-Identifier: Apache-2.0
"""Asks a server of TensorFlow Serving's kind for predictions of random inputs, by gRPC.

python -m monolith.native_training.model_export.demo_predictor_client --server=localhost:8500 --model_name=demo

What the model takes is asked first (GetModelMetadata). The connection is not encrypted.
"""

from __future__ import annotations

import functools
from typing import Any, List, Optional

import grpc
import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from absl import app, flags, logging

from monolith.native_training.model_export import _serving_protos, _tool_flags, demo_predictor

__all__ = ["define_flags", "get_signature_def", "main", "make_request"]

_TIMEOUT_S = 30

_FLAGS: _tool_flags.Definitions = {
  "server": (flags.DEFINE_string, "localhost:8500", "host:port of the server."),
  "model_name": (flags.DEFINE_string, "default", "The model."),
  "signature_name": (
    flags.DEFINE_string,
    tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY,
    "The signature to run.",
  ),
  "batch_size": (flags.DEFINE_integer, 128, "Rows of each input."),
  "use_example": (flags.DEFINE_bool, False, "Send tf.train.Examples as strings, instead of Instances."),
}
_flag = functools.partial(_tool_flags.value_or_default, _FLAGS)


def get_signature_def(stub: Any, model_name: Optional[str] = None, signature_name: Optional[str] = None) -> Any:
  """Asks a server for a signature; prints the names of all.

  Args:
    stub: a PredictionServiceStub.
    model_name: the model; default the flag.
    signature_name: the signature; default the flag.

  Returns:
    The SignatureDef.

  Raises:
    KeyError: the model has no such signature.
    grpc.RpcError: the server does not answer, or has no such model.
  """
  messages = _serving_protos.load("get_model_metadata_pb2")
  request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
  request.model_spec.name = model_name or _flag("model_name")
  response = stub.GetModelMetadata(request, timeout=_TIMEOUT_S)
  signatures = messages.SignatureDefMap()
  response.metadata["signature_def"].Unpack(signatures)
  print(f"signatures: {', '.join(sorted(signatures.signature_def))}")
  name = signature_name or _flag("signature_name")
  if name not in signatures.signature_def:
    raise KeyError(
      f"model {request.model_spec.name!r} has no signature {name!r}; it has {sorted(signatures.signature_def)}."
    )
  return signatures.signature_def[name]


def make_request(
  signature: Any, model_name: str, signature_name: str, batch_size: int, use_example: bool = False, rng: Any = None
) -> Any:
  """A PredictRequest with random inputs.

  Args:
    signature: the SignatureDef.
    model_name: the model.
    signature_name: the signature.
    batch_size: rows.
    use_example: strings are `tf.train.Example`s instead of Instances.
    rng: a NumPy generator or a seed.

  Raises:
    ValueError: see `demo_predictor.random_feeds`.
  """
  request = _serving_protos.load("predict_pb2").PredictRequest()
  request.model_spec.name = model_name
  request.model_spec.signature_name = signature_name
  for name, value in demo_predictor.random_feeds(signature.inputs, batch_size, use_example, rng).items():
    request.inputs[name].CopyFrom(tf.make_tensor_proto(value, tf.as_dtype(signature.inputs[name].dtype)))
  return request


def define_flags() -> None:
  """Defines the program's flags, but for those that somebody has defined."""
  _tool_flags.define(_FLAGS)


def main(argv: List[str]) -> None:
  """Asks by the flags, and logs the answer.

  Raises:
    app.UsageError: there are other arguments.
    ImportError: tensorflow-serving-api is not installed.
    KeyError: the model has no such signature.
    ValueError: values for its inputs cannot be made up.
    grpc.RpcError: the server does not answer within 30 s, or refuses.
  """
  _tool_flags.refuse_arguments(argv)
  with grpc.insecure_channel(_flag("server")) as channel:
    stub = _serving_protos.load("prediction_service_pb2_grpc").PredictionServiceStub(channel)
    signature = get_signature_def(stub)
    request = make_request(
      signature, _flag("model_name"), _flag("signature_name"), _flag("batch_size"), _flag("use_example")
    )
    response = stub.Predict(request, timeout=_TIMEOUT_S)
  logging.info("%s", response)


if __name__ == "__main__":
  define_flags()
  logging.set_verbosity(logging.INFO)
  app.run(main)
