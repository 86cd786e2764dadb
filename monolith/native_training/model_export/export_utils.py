# SPDX-License-Identifier: Apache-2.0
"""Parts of a graph that are exported as signatures, to be called by a graph elsewhere."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training import distributed_serving_ops
from monolith.native_training.model_export import export_context
from monolith.native_training.nested_tensors import NestedTensors

__all__ = ["RemotePredictHelper"]


class RemotePredictHelper:
  """Registers a function as a signature of the default graph, with the export that is going on, and calls it remotely.

      with enter_export_mode(ExportMode.DISTRIBUTED):
        helper = RemotePredictHelper("dense", {"user": user, "item": item}, dense_network)
        logits = helper.call_remote_predict("ranker:dense_0")

  Inputs and outputs of the signature are called by the names of their tensors, `:` replaced by `_`.

  Args:
    name: the signature's name.
    input_tensors: a structure as `NestedTensors` takes it. Only its types and shapes count for the signature.
    remote_func: gets that structure with a placeholder for each tensor, and returns such a structure.

  Raises:
    ValueError: TensorFlow runs eagerly, no export is going on, a leaf is no tensor's, there is no output tensor, or a
      tensor is twice among the outputs.
  """

  def __init__(self, name: str, input_tensors: Any, remote_func: Callable[[Any], Any]):
    self._name = name
    self._input_tensors = NestedTensors(input_tensors)
    self._remote_func = remote_func
    self._input_names: List[str] = []
    self._output_names: List[str] = []
    self._define_remote_func()

  def _define_remote_func(self) -> None:
    context = export_context.get_current_export_ctx()
    if tf.executing_eagerly() or context is None:
      raise ValueError(
        f"RemotePredictHelper {self._name!r}: a signature belongs to a graph and to an export; build it in "
        "tf.Graph().as_default() and enter_export_mode(...)."
      )
    placeholders = [
      tf.compat.v1.placeholder(tensor.dtype, tensor.shape, f"{tensor.op.name}_remote_input_ph")
      for tensor in self._input_tensors.get_tensors()
    ]
    self._output_tensors = NestedTensors(self._remote_func(self._input_tensors.get_nested_result(placeholders)))
    outputs = self._named("outputs", self._output_tensors.get_tensors())
    if not outputs:
      raise ValueError(f"RemotePredictHelper {self._name!r}: the function returns no tensor; a signature needs one.")
    inputs = self._named("inputs", placeholders)
    self._input_names, self._output_names = list(inputs), list(outputs)
    context.add_signature(tf.compat.v1.get_default_graph(), self._name, inputs, outputs)

  def _named(self, what: str, tensors: Sequence[tf.Tensor]) -> Dict[str, tf.Tensor]:
    named = {_get_tensor_signature_name(tensor): tensor for tensor in tensors}
    if len(named) != len(tensors):
      names = sorted(tensor.name for tensor in tensors)
      raise ValueError(
        f"RemotePredictHelper {self._name!r}: {what} {names} do not all have names of their own; "
        "return each tensor once, or tf.identity of it."
      )
    return named

  def call_remote_predict(
    self,
    model_name: str,
    input_tensors: Any = None,
    old_model_name: Optional[str] = None,
    task: int = 0,
    max_rpc_deadline_millis: int = 30000,
  ) -> Any:
    """Calls the signature where it is served; see `distributed_serving_ops.remote_predict`.

    Args:
      model_name: the model, `<model>:<sub graph>`.
      input_tensors: a structure like the constructor's; that one itself by default.
      old_model_name: the sub-graph, for servers that know it by itself.
      task: index of the server.
      max_rpc_deadline_millis: milliseconds that a call may take.

    Returns:
      The structure that the function returns, with the remote results in the place of tensors.

    Raises:
      ValueError: the structure has another number of tensors, or of other types or shapes, or model_name is None.
    """
    own = self._input_tensors.get_tensors()
    given = own if input_tensors is None else NestedTensors(input_tensors).get_tensors()
    self._check(given, own)
    declared = self._output_tensors.get_tensors()
    results = distributed_serving_ops.remote_predict(
      self._input_names,
      given,
      self._output_names,
      model_name,
      task,
      old_model_name or "",
      max_rpc_deadline_millis=max_rpc_deadline_millis,
      output_types=[tensor.dtype for tensor in declared],
      signature_name=self._name,
    )
    for result, tensor in zip(results, declared, strict=True):
      result.set_shape(tensor.shape)
    return self._output_tensors.get_nested_result(results)

  def _check(self, given: Sequence[tf.Tensor], own: Sequence[tf.Tensor]) -> None:
    fits = len(given) == len(own) and all(
      g.dtype == o.dtype and g.shape.is_compatible_with(o.shape) for g, o in zip(given, own, strict=True)
    )
    if not fits:
      describe = lambda tensors: [f"{t.dtype.name} {t.shape}" for t in tensors]  # noqa: E731
      raise ValueError(
        f"RemotePredictHelper {self._name!r}: input_tensors are {describe(given)}; the signature takes {describe(own)}."
      )


def _get_tensor_signature_name(t: tf.Tensor) -> str:
  """`foo_0` of the tensor `foo:0`."""
  return t.name.replace(":", "_")
