# SPDX-License-Identifier: Apache-2.0
"""Ops by which servers are talked to: calls of remote signatures, and the client of online updates that sends none."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import numpy as np
import tensorflow as tf
from absl import logging

from monolith.native_training._remote_predict import RemoteCall, set_remote_addresses
from monolith.native_training.model_export import _serving_protos
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["REMOTE_CALLS", "create_dummy_sync_client", "remote_predict", "set_remote_addresses"]

REMOTE_CALLS = "monolith_remote_calls"
"""Collection of the graph: what it calls of other servers, which no other process can."""


def create_dummy_sync_client() -> tf.Tensor:
  """Returns the handle of a client that sends nothing."""
  return gen_monolith_ops.monolith_dummy_sync_client(shared_name="MonolithDummySyncClient")


def remote_predict(
  input_tensor_alias: Sequence[str],
  input_tensors: Sequence[tf.Tensor],
  output_tensor_alias: Sequence[str],
  model_name: str,
  task: int,
  old_model_name: str,
  model_version: int = -1,
  fail_op_on_rpc_error: bool = True,
  max_rpc_deadline_millis: int = 30,
  output_types: Optional[Sequence[tf.DType]] = None,
  name: Optional[str] = None,
  signature_name: str = "serving_default",
) -> List[tf.Tensor]:
  """Calls a signature of a model that another server serves; eagerly, or whenever the graph needs the outputs.

  The call is made by the Python process that made the op, with the addresses of `set_remote_addresses`. It holds a
  thread of its session while it waits, so a server in the same process needs a session with threads of its own. A graph
  with such a call cannot be exported.

  Args:
    input_tensor_alias: names of the signature's inputs.
    input_tensors: their values.
    output_tensor_alias: names of the outputs that are asked for.
    model_name: the model, as the address map names it: `<model>:<sub graph>`.
    task: index of the parameter server; asked for as `ps:<task>` where neither name has an address.
    old_model_name: the sub-graph, such as `ps_0`; asked for as `ps:0` where model_name has no address.
    model_version: the version; the newest if negative.
    fail_op_on_rpc_error: False logs a failed call, whose outputs are then zeros (empty strings) without shape.
    max_rpc_deadline_millis: milliseconds that a call may take, > 0.
    output_types: types of the outputs; float32 by default.
    name: name of the op.
    signature_name: the signature.

  Returns:
    The outputs, of unknown shape.

  Raises:
    ValueError: model_name is None, the deadline is not positive, or aliases are not as many as tensors or types.
    RuntimeError: the call fails, or its answer is another; the message says why. In a graph, running it raises
      `tf.errors.UnknownError` with that message.
    ImportError: tensorflow-serving-api is not installed.
  """
  types = [tf.as_dtype(dtype) for dtype in output_types or [tf.float32] * len(output_tensor_alias)]
  _check_call(model_name, max_rpc_deadline_millis)
  _check_aliases(input_tensor_alias, input_tensors, "input_tensors")
  _check_aliases(output_tensor_alias, types, "output_types")
  call = RemoteCall(
    tuple(input_tensor_alias),
    tuple(output_tensor_alias),
    tuple(types),
    model_name,
    old_model_name or "",
    task,
    model_version,
    signature_name,
    max_rpc_deadline_millis / 1000,
  )
  _serving_protos.load("predict_pb2")
  function = call.run if fail_op_on_rpc_error else lambda *values: _run_or_zeros(call, values)
  if not tf.executing_eagerly():
    _outermost_graph().add_to_collection(REMOTE_CALLS, call)
  return tf.nest.flatten(tf.numpy_function(function, list(input_tensors), types, name=name))


def _check_call(model_name: Optional[str], max_rpc_deadline_millis: int) -> None:
  if model_name is None:
    raise ValueError("remote_predict: model_name is None; name the model, such as 'ranker:ps_0'.")
  if max_rpc_deadline_millis <= 0:
    raise ValueError(f"remote_predict: max_rpc_deadline_millis is {max_rpc_deadline_millis}; it must be > 0.")


def _check_aliases(aliases: Sequence[str], values: Sequence[Any], what: str) -> None:
  if len(aliases) != len(values):
    raise ValueError(f"remote_predict: {len(aliases)} names {list(aliases)} for {len(values)} {what}; give each one.")


def _outermost_graph() -> tf.Graph:
  """The default graph, or that which calls it if it is the body of a function or of a branch."""
  graph = tf.compat.v1.get_default_graph()
  while getattr(graph, "outer_graph", None) is not None:
    graph = graph.outer_graph
  return graph


def _run_or_zeros(call: RemoteCall, values: Sequence[np.ndarray]) -> List[np.ndarray]:
  try:
    return call.run(*values)
  except RuntimeError as error:
    logging.warning("%s", error)
    return [np.array(b"" if dtype == tf.string else 0, dtype.as_numpy_dtype) for dtype in call.output_types]
