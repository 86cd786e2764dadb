# SPDX-License-Identifier: Apache-2.0
"""Small helpers of the training runtime: devices, gradients by the chain rule, lists, collections, names.

Nothing here knows tables, models or the trainer.
"""

from __future__ import annotations

import os
import re
import tempfile
from typing import Any, Dict, Hashable, Iterable, List, Optional, Sequence, Set, Tuple

import tensorflow as tf

from monolith.native_training import net_utils
from monolith.core.keras_params import check_list, extend_as_list, get_ndim, int_shape, with_params

__all__ = [
  "PS_JOB_NAME",
  "add_to_collections",
  "check_list",
  "check_ops_dependence",
  "extend_as_list",
  "get_collection",
  "get_debugging_info_file_name",
  "get_local_host",
  "get_meta_graph_file_name",
  "get_metric_prefix",
  "get_ndim",
  "get_test_tmp_dir",
  "int_shape",
  "propagate_back_dict_gradients",
  "propagate_back_gradients",
  "ps_device",
  "set_metric_prefix",
  "to_list",
  "to_snake_case",
  "with_params",
]

PS_JOB_NAME = "ps"

_METRIC_PREFIX_ENV = "MONOLITH_METRIC_PREFIX"

GradsAndVars = Iterable[Tuple[Optional[tf.Tensor], tf.Tensor]]


def ps_device(index: int) -> str:
  """Device string of parameter server `index`."""
  return f"/job:{PS_JOB_NAME}/task:{index}/device:CPU:0"


def propagate_back_gradients(
  grads_and_vars: GradsAndVars,
  xs: Sequence[tf.Tensor],
  valid_var_set: Optional[Iterable[Any]] = None,
) -> List[Optional[tf.Tensor]]:
  """Carries gradients with respect to `vars` on to the tensors `xs` that the vars were computed from.

  Args:
    grads_and_vars: pairs (dL/dv, v).
    xs: tensors to differentiate with respect to.
    valid_var_set: when given, the only tensors that may occur as v.

  Returns:
    dL/dx for every x; None where no v depends on x.

  Raises:
    RuntimeError: a v is not in `valid_var_set`.
  """
  grads_and_vars = list(grads_and_vars)
  if valid_var_set is not None:
    valid: Set[Hashable] = {_key(v) for v in valid_var_set}
    for _, v in grads_and_vars:
      if _key(v) not in valid:
        raise RuntimeError(
          f"propagate_back_gradients: {v} is none of the tensors that the lookup handed out; "
          "differentiate with respect to those."
        )
  if not grads_and_vars:
    return [None] * len(xs)
  return tf.gradients(ys=[v for _, v in grads_and_vars], xs=list(xs), grad_ys=[grad for grad, _ in grads_and_vars])


def propagate_back_dict_gradients(
  grads_and_vars: GradsAndVars,
  x_to_key: Dict[Any, Any],
  valid_var_set: Optional[Iterable[Any]] = None,
) -> Dict[Any, List[Tuple[tf.Tensor, tf.Tensor]]]:
  """Like `propagate_back_gradients`, grouping the results by key.

  Args:
    grads_and_vars: pairs (dL/dv, v).
    x_to_key: {x.ref(): key} (a tensor's reference, since tensors cannot be hashed).
    valid_var_set: as there.

  Returns:
    {key: [(dL/dx, x), ...]}, without the x that no v depends on.
  """
  refs = list(x_to_key)
  xs = [ref.deref() for ref in refs]
  result: Dict[Any, List[Tuple[tf.Tensor, tf.Tensor]]] = {}
  grads = propagate_back_gradients(grads_and_vars, xs, valid_var_set)
  for ref, x, grad in zip(refs, xs, grads, strict=True):
    if grad is not None:
      result.setdefault(x_to_key[ref], []).append((grad, x))
  return result


def _key(x: Any) -> Hashable:
  return x.ref() if hasattr(x, "ref") else x


def to_list(x: Any) -> List[Any]:
  """`x` as a list: a list as it is, a tuple's items, anything else alone."""
  if isinstance(x, list):
    return x
  return list(x) if isinstance(x, tuple) else [x]


def to_snake_case(name: str) -> str:
  """`FooBar` -> `foo_bar`; a leading underscore gets the prefix `private`."""
  snake = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
  snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", snake).lower()
  return "private" + snake if snake.startswith("_") else snake


def check_ops_dependence(op_names_1: Any, op_names_2: Any) -> None:
  """Raises unless no op of the first argument depends on an op of the second.

  Args:
    op_names_1: name or names of the ops whose inputs are followed.
    op_names_2: name or names of the ops that must not be met.

  Raises:
    ValueError: one depends on the other, or a name is unknown.
  """
  graph = tf.compat.v1.get_default_graph()
  forbidden = set(to_list(op_names_2))
  pending = [_operation(graph, name) for name in to_list(op_names_1)]
  seen: Set[str] = set()
  while pending:
    op = pending.pop()
    if op.name in seen:
      continue
    seen.add(op.name)
    pending.extend(tensor.op for tensor in op.inputs)
    pending.extend(op.control_inputs)
  met = sorted(seen & forbidden)
  if met:
    raise ValueError(f"{op_names_1} depends on {met}; it must not.")


def _operation(graph: tf.Graph, name: str) -> tf.Operation:
  try:
    return graph.get_operation_by_name(name)
  except KeyError as error:
    raise ValueError(f"check_ops_dependence: the default graph has no op {name!r}.") from error


def get_local_host() -> str:
  """An address under which other machines reach this one; `127.0.0.1` when there is no network."""
  return net_utils.get_local_ip()


def get_test_tmp_dir() -> str:
  """Directory for files of tests: `TEST_TMPDIR` if set, else the system's temporary directory."""
  return os.environ.get("TEST_TMPDIR") or tempfile.gettempdir()


def get_debugging_info_file_name(model_dir: str) -> str:
  """Path of the cluster description that the debug server reads."""
  return os.path.join(model_dir, "debugging_info.pb")


def get_meta_graph_file_name(model_dir: str) -> str:
  """Path of the meta graph that the debug server reads."""
  return os.path.join(model_dir, "meta_graph_for_debugging.pb")


def add_to_collections(names: Any, value: Any) -> None:
  """Adds `value` to the collections `names` of the default graph, unless it is None or an empty container."""
  if value is None or (not isinstance(value, (bool, int, float)) and not tf.is_tensor(value) and not value):
    return
  tf.compat.v1.add_to_collections(names, value)


def get_collection(name: str) -> Optional[List[Any]]:
  """The values of collection `name` of the default graph; None when there are none."""
  return tf.compat.v1.get_collection(name) or None


def set_metric_prefix(prefix: str) -> None:
  """Sets the prefix of all emitted metric names, for this process and those it starts."""
  os.environ[_METRIC_PREFIX_ENV] = prefix


def get_metric_prefix() -> str:
  """The prefix of all emitted metric names."""
  return os.environ.get(_METRIC_PREFIX_ENV, "monolith.training")
