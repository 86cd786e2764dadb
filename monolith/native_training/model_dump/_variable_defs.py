# SPDX-License-Identifier: Apache-2.0
"""Variables of a GraphDef, made again in the default graph."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from tensorflow.core.framework import variable_pb2
from tensorflow.python.ops import variables as tf_variables

from monolith.native_training.model_dump._node_names import base_of_part, node_name, tensor_name

__all__ = ["COLLECTIONS_ATTR", "EchoInitializer", "PartitionVariableDef", "VariableDef"]

COLLECTIONS_ATTR = "_monolith_collections"
"""Attribute of a VarHandleOp of a dump: the collections that its variable is in, which a GraphDef does not say."""


class EchoInitializer(tf.keras.initializers.Initializer):
  """Gives a tensor that there is already, whatever shape is asked for.

  Args:
    init_value: the tensor, an operation with one output, or a list whose first element is one of them.

  Raises:
    ValueError: it is something else.
  """

  def __init__(self, init_value: Any):
    value = init_value[0] if isinstance(init_value, (list, tuple)) and init_value else init_value
    if isinstance(value, tf.Operation) and len(value.outputs) == 1:
      value = value.outputs[0]
    if not isinstance(value, tf.Tensor):
      raise ValueError(f"EchoInitializer: {init_value!r} is neither a tensor nor an operation with one output.")
    self._value = value

  def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
    del shape, dtype, kwargs
    return self._value


class VariableDef:
  """A resource variable of a GraphDef.

  Args:
    node: its VarHandleOp.
    helper: the `GraphDefHelper` of the graph.
  """

  def __init__(self, node: tf.compat.v1.NodeDef, helper: Any):
    self._node = node
    self._helper = helper
    self._reads: List[str] = []

  @property
  def name(self) -> str:
    """The variable's name, without output number."""
    return self._node.name

  @property
  def reads(self) -> List[str]:
    """Names of the ReadVariableOps that read it."""
    return list(self._reads)

  def add_read(self, node: tf.compat.v1.NodeDef) -> None:
    """Notes a node that reads it."""
    self._reads.append(node.name)

  @property
  def initializer(self) -> EchoInitializer:
    """Imports what the variable starts from into the default graph.

    Raises:
      ValueError: nothing in the graph initializes the variable.
    """
    return _import_initializers([self._node], self._helper)[0]

  @property
  def variable(self) -> tf.Variable:
    """The variable in the default graph: the one of that name if there is one, or a new one.

    Raises:
      ValueError: that one has another type or shape.
    """
    return _get_or_create([self._node], self._helper)[0]


class PartitionVariableDef:
  """A variable that lies in parts `<name>/part_<n>`.

  Args:
    name: the variable's name.
    helper: the `GraphDefHelper` of the graph.
  """

  def __init__(self, name: str, helper: Any):
    self._name = name
    self._helper = helper
    self._parts: Dict[int, tf.compat.v1.NodeDef] = {}
    self._reads: List[str] = []

  @staticmethod
  def get_base_name(node: tf.compat.v1.NodeDef) -> str:
    """The variable's name, of the VarHandleOp of a part, or of a node that reads one."""
    return base_of_part(node.name if node.op == "VarHandleOp" else node_name(node.input[0]))

  @property
  def name(self) -> str:
    """The variable's name, without part."""
    return self._name

  @property
  def reads(self) -> List[str]:
    """Names of the ReadVariableOps that read a part."""
    return list(self._reads)

  @property
  def partitions(self) -> List[str]:
    """Names of the parts, in order."""
    return [node.name for node in self._in_order()]

  def add_partition(self, node: tf.compat.v1.NodeDef) -> None:
    """Adds the VarHandleOp of a part."""
    self._parts[int(node.name.rsplit("_", 1)[1])] = node

  def add_read(self, node: tf.compat.v1.NodeDef) -> None:
    """Notes a node that reads a part."""
    self._reads.append(node.name)

  def _in_order(self) -> List[tf.compat.v1.NodeDef]:
    return [self._parts[number] for number in sorted(self._parts)]

  @property
  def initializer(self) -> List[EchoInitializer]:
    """Imports what the parts start from; one for each, in order.

    Raises:
      ValueError: nothing in the graph initializes a part.
    """
    return _import_initializers(self._in_order(), self._helper)

  @property
  def variable(self) -> List[tf.Variable]:
    """The parts in the default graph, in order, each with where it lies in the whole.

    Raises:
      ValueError: the parts do not make a whole.
    """
    parts = _get_or_create(self._in_order(), self._helper)
    if len(parts) > 1 and all(part._get_save_slice_info() is not None for part in parts):
      infos = [part._get_save_slice_info() for part in parts]
      whole = tf.TensorShape(infos[0].full_shape)
      counts = [max(1, -(-size // part)) for size, part in zip(infos[0].full_shape, parts[0].shape, strict=True)]
      # Its constructor compares the places of the parts.
      tf_variables.PartitionedVariable(infos[0].full_name, whole, parts[0].dtype, parts, counts)
    return parts


def _assign_of(node: tf.compat.v1.NodeDef, helper: Any) -> tf.compat.v1.NodeDef:
  assign = helper.node(f"{node.name}/Assign")
  if assign is None or assign.op != "AssignVariableOp" or node_name(assign.input[0]) != node.name:
    raise ValueError(
      f"variable {node.name!r} has no node {node.name}/Assign that initializes it; dump the graph in which it was made."
    )
  return assign


def _import_initializers(nodes: Sequence[tf.compat.v1.NodeDef], helper: Any) -> List[EchoInitializer]:
  """Imports what variables start from, together, so that what they share is shared again."""
  names = [tensor_name(_assign_of(node, helper).input[1]) for node in nodes]
  return [EchoInitializer(tensor) for tensor in helper.import_tensors(names)]


def _get_or_create(nodes: Sequence[tf.compat.v1.NodeDef], helper: Any) -> List[tf.Variable]:
  scope = tf.compat.v1.get_variable_scope()
  found = {node.name: _existing(node, f"{scope.name}/{node.name}" if scope.name else node.name) for node in nodes}
  new = [node for node in nodes if found[node.name] is None]
  partitioner = scope.partitioner
  scope.set_partitioner(None)
  try:
    for node, initializer in zip(new, _import_initializers(new, helper), strict=True):
      found[node.name] = _create(node, initializer, helper.save_slice_info.get(node.name))
  finally:
    scope.set_partitioner(partitioner)
  return [found[node.name] for node in nodes]


def _type_of(node: tf.compat.v1.NodeDef) -> Tuple[tf.DType, tf.TensorShape]:
  return tf.as_dtype(node.attr["dtype"].type), tf.TensorShape(node.attr["shape"].shape)


def _existing(node: tf.compat.v1.NodeDef, full_name: str) -> Optional[tf.Variable]:
  """The variable that the default graph has of that name."""
  dtype, shape = _type_of(node)
  for key in (tf.compat.v1.GraphKeys.GLOBAL_VARIABLES, tf.compat.v1.GraphKeys.LOCAL_VARIABLES):
    for variable in tf.compat.v1.get_collection(key):
      if variable.op.name != full_name:
        continue
      if variable.dtype != dtype or not variable.shape.is_compatible_with(shape):
        raise ValueError(
          f"the graph has a variable {full_name!r} of {variable.dtype.name} {variable.shape} already, and the dump one "
          f"of {dtype.name} {shape}; load the dump into a graph of its own."
        )
      return variable
  return None


def _create(node: tf.compat.v1.NodeDef, initializer: EchoInitializer, save_slice_info: Optional[bytes]) -> tf.Variable:
  dtype, shape = _type_of(node)
  collections = _collections_of(node, dtype)
  trainable = tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES in collections
  others = [name for name in collections if name != tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES]
  known = shape.is_fully_defined()
  starts_from: Union[EchoInitializer, tf.Tensor] = initializer if known else initializer(None)
  variable = tf.compat.v1.get_variable(
    node.name,
    shape=shape if known else None,
    dtype=dtype,
    initializer=starts_from,
    trainable=trainable,
    collections=others,
    use_resource=True,
    validate_shape=known,
  )
  # With variable scopes that partition whatever they are told, the first part is all there is.
  if isinstance(variable, tf_variables.PartitionedVariable):
    variable = next(iter(variable))
  if save_slice_info is not None:
    proto = variable_pb2.SaveSliceInfoDef.FromString(save_slice_info)
    variable._set_save_slice_info(tf.Variable.SaveSliceInfo(save_slice_info_def=proto))
  return variable


def _collections_of(node: tf.compat.v1.NodeDef, dtype: tf.DType) -> List[str]:
  """The collections that a dump notes; else those of a variable made by default, trainable if it is of floats."""
  if COLLECTIONS_ATTR in node.attr:
    return [name.decode() for name in node.attr[COLLECTIONS_ATTR].list.s]
  keys = [tf.compat.v1.GraphKeys.GLOBAL_VARIABLES]
  return [*keys, tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES] if dtype.is_floating else keys
