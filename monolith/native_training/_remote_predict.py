# SPDX-License-Identifier: Apache-2.0
"""Calls of a signature that another model server serves, by gRPC.

Which server serves which model is a map of this process. Connections are kept, and are not encrypted.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import grpc
import numpy as np

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.model_export import _serving_protos

__all__ = ["RemoteCall", "set_remote_addresses"]

_ANY_SIZE = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
_TRIES = 2

_LOCK = threading.Lock()
_ADDRESSES: Dict[str, List[str]] = {}
_CHANNELS: Dict[str, grpc.Channel] = {}


def set_remote_addresses(addresses: Mapping[str, Sequence[str]]) -> None:
  """Says which servers serve which models, for all calls of this process from now on.

  Args:
    addresses: {model: `host:port` of every replica}. A model is `<model>:<sub graph>`, such as `ranker:ps_0`, or, for
      servers that know a sub-graph by itself, `ps:<i>` or `dense:<i>`. Models without replicas are passed over.
  """
  with _LOCK:
    _ADDRESSES.clear()
    _ADDRESSES.update({model: list(replicas) for model, replicas in addresses.items() if replicas})
    known = {address for replicas in _ADDRESSES.values() for address in replicas}
    for address in set(_CHANNELS) - known:
      del _CHANNELS[address]  # not closed, which would cancel the calls under way; the last of them closes it


class RemoteCall(NamedTuple):
  """A remote signature: whom to ask, for what.

  Attributes:
    inputs: names of its inputs.
    outputs: names of its outputs.
    output_types: types of these.
    model_name: `<model>:<sub graph>`, or another name of the address map.
    old_model_name: `<sub graph>`, such as `ps_0`: asked for as `ps:0` where model_name has no address.
    task: index of the parameter server, where there is no old_model_name either.
    model_version: the version; the newest if negative.
    signature_name: the signature.
    deadline_s: seconds that a call may take.
  """

  inputs: Tuple[str, ...]
  outputs: Tuple[str, ...]
  output_types: Tuple[tf.DType, ...]
  model_name: str
  old_model_name: str
  task: int
  model_version: int
  signature_name: str
  deadline_s: float

  def run(self, *values: np.ndarray) -> List[np.ndarray]:
    """The outputs for these inputs, from a replica by chance; from another one if that cannot be reached.

    Raises:
      RuntimeError: no address is known, the call fails, or the answer has other outputs.
    """
    model, replicas = self._find()
    addresses = (2 * random.sample(replicas, len(replicas)))[:_TRIES]
    response = self._ask(addresses, model, self._request(model, values), time.monotonic() + self.deadline_s)
    return [self._output(response, name, dtype) for name, dtype in zip(self.outputs, self.output_types, strict=True)]

  def _ask(self, addresses: Sequence[str], model: str, request: Any, ends: float) -> Any:
    try:
      return _stub(addresses[0]).Predict(request, timeout=max(ends - time.monotonic(), 0))
    except grpc.RpcError as error:
      if error.code() is grpc.StatusCode.UNAVAILABLE and len(addresses) > 1:
        return self._ask(addresses[1:], model, request, ends)
      raise RuntimeError(
        f"remote_predict: {addresses[0]} does not answer for signature {self.signature_name!r} of model {model!r}: "
        f"{error.code().name}: {error.details()}"
      ) from error

  def _find(self) -> Tuple[str, List[str]]:
    """The name to ask for, and who serves it."""
    key = self.old_model_name.replace("_", ":", 1) if self.old_model_name else f"ps:{self.task}"
    with _LOCK:
      if self.model_name in _ADDRESSES:
        return self.model_name, _ADDRESSES[self.model_name]
      if key in _ADDRESSES:
        return self.old_model_name or self.model_name, _ADDRESSES[key]
      known = ", ".join(sorted(_ADDRESSES)) or "none"
    raise RuntimeError(
      f"remote_predict: UNAVAILABLE: no server is known for {self.model_name!r} or {key!r}, only for: {known}; "
      "call set_remote_addresses."
    )

  def _request(self, model: str, values: Sequence[np.ndarray]) -> Any:
    request = _serving_protos.load("predict_pb2").PredictRequest(output_filter=self.outputs)
    request.model_spec.name = model
    request.model_spec.signature_name = self.signature_name
    if self.model_version >= 0:
      request.model_spec.version.value = self.model_version
    for name, value in zip(self.inputs, values, strict=True):
      request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request

  def _output(self, response: Any, name: str, dtype: tf.DType) -> np.ndarray:
    if name not in response.outputs or response.outputs[name].dtype != dtype.as_datatype_enum:
      found = tf.as_dtype(response.outputs[name].dtype).name if name in response.outputs else "missing"
      raise RuntimeError(f"remote_predict: output {name!r} of the answer is {found}; it must be {dtype.name}.")
    return tf.make_ndarray(response.outputs[name])


def _stub(address: str) -> Any:
  with _LOCK:
    if address not in _CHANNELS:
      _CHANNELS[address] = grpc.insecure_channel(address, options=_ANY_SIZE)
    channel = _CHANNELS[address]
  return _serving_protos.load("prediction_service_pb2_grpc").PredictionServiceStub(channel)
