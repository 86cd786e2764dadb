# SPDX-License-Identifier: Apache-2.0
"""`GraphDefHelper`: takes parts out of a GraphDef and imports them into the default graph."""

from __future__ import annotations

import weakref
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from absl import logging

from monolith.native_training._estimator_export import ServingInputReceiver
from monolith.native_training.model_dump import _input_import, _model_import, _receiver_import, monolith_model_pb2
from monolith.native_training.model_dump._literals import parse_feature
from monolith.native_training.model_dump._node_names import (
  base_of_part,
  colocated_node_name,
  is_control,
  node_name,
  tensor_name,
)
from monolith.native_training.model_dump._plain_pickle import load_plain
from monolith.native_training.model_dump._resource_import import register_tables, table_makers
from monolith.native_training.model_dump._sub_graphs import Boundary, SubGraph, needed_functions, needed_nodes
from monolith.native_training.model_dump._variable_defs import PartitionVariableDef, VariableDef
from monolith.native_training.runtime.ops import gen_monolith_ops  # noqa: F401  (graphs hold the library's ops)

__all__ = ["GraphDefHelper"]

_Imported = Union[tf.Tensor, tf.Operation]


class GraphDefHelper:
  """Rebuilds parts of a dumped graph.

  What is imported keeps its name where the default graph does not have it yet. Variables are made anew, or found where
  the default graph has one of the name; everything that uses one uses that. Tables come with what makes them, for the
  initializer of tables, and multi hash tables are restored with checkpoints. Devices are forgotten, so placement is up
  to the device scopes and functions of the graph that is imported into.

  Args:
    graph_def: the graph; copied.
    save_slice_info: {name of a part of a variable: serialized SaveSliceInfoDef}.

  Raises:
    TypeError: graph_def is no GraphDef.
  """

  def __init__(self, graph_def: tf.compat.v1.GraphDef, save_slice_info: Optional[Mapping[str, bytes]] = None):
    if not isinstance(graph_def, tf.compat.v1.GraphDef):
      raise TypeError(f"GraphDefHelper: graph_def is {type(graph_def).__name__}; it must be a GraphDef.")
    self._graph_def = tf.compat.v1.GraphDef()
    self._graph_def.CopyFrom(graph_def)
    self.save_slice_info: Dict[str, bytes] = dict(save_slice_info or {})
    """{name of a part of a variable: serialized SaveSliceInfoDef}."""
    self._colocated = {node.name: _clear_placement(node) for node in self._graph_def.node}
    for function in self._graph_def.library.function:
      for node in function.node_def:
        node.device = ""
    self._nodes = {node.name: node for node in self._graph_def.node}
    self._order = {node.name: number for number, node in enumerate(self._graph_def.node)}
    self._variables = self._find_variables()
    self._imported: weakref.WeakKeyDictionary[tf.Graph, Dict[str, _Imported]] = weakref.WeakKeyDictionary()

  def _find_variables(self) -> Dict[str, Union[VariableDef, PartitionVariableDef]]:
    """{name without part: the variable}."""
    found: Dict[str, Union[VariableDef, PartitionVariableDef]] = {}
    for node in self._graph_def.node:
      if node.op == "VarHandleOp":
        base = base_of_part(node.name)
        if base == node.name:
          found[base] = VariableDef(node, self)
          continue
        parts = found.setdefault(base, PartitionVariableDef(base, self))
        if isinstance(parts, PartitionVariableDef):
          parts.add_partition(node)
        else:
          found[node.name] = VariableDef(node, self)
    for node in self._graph_def.node:
      if node.op == "ReadVariableOp":
        variable = found.get(PartitionVariableDef.get_base_name(node))
        if variable is not None:
          variable.add_read(node)
    return found

  # Looking.

  def node(self, name: str) -> Optional[tf.compat.v1.NodeDef]:
    """The node of a name, or None."""
    return self._nodes.get(node_name(name))

  def nodes(self, *ops: str) -> List[tf.compat.v1.NodeDef]:
    """The nodes of these ops, in order."""
    return [node for node in self._graph_def.node if node.op in ops]

  def colocated_with(self, name: str) -> List[str]:
    """The nodes beside which a node was to be placed."""
    return list(self._colocated[name])

  @property
  def variables(self) -> Dict[str, Union[VariableDef, PartitionVariableDef]]:
    """{name, without part: the variable}."""
    return dict(self._variables)

  @property
  def file_name_node(self) -> Optional[str]:
    """The constant that holds the file name of the graph's PBDataset; None where there is none."""
    found = _input_import.file_name_constants(self, self._graph_def)
    return found[0] if found else None

  def sub_graph(
    self, dest_nodes: Iterable[str], source_nodes: Optional[Iterable[str]] = None, with_library: bool = True
  ) -> SubGraph:
    """What some nodes need.

    Nodes that were merely to be placed beside another do not need that one.

    Args:
      dest_nodes: names of nodes, or of tensors of theirs.
      source_nodes: where to stop: names of nodes, or of tensors (`x:1`), whose other outputs are followed. What is cut
        is not part of the result, though its nodes still name it as an input.
      with_library: take along the functions that are called, those of datasets included.

    Returns:
      (GraphDef of the nodes other than variables, names of the variables).

    Raises:
      CallerError: a destination is unknown.
      ValueError: a variable is no resource variable.
    """
    boundary = Boundary(source_nodes or ())
    walk = needed_nodes(self._nodes, dest_nodes, boundary)
    result = tf.compat.v1.GraphDef(versions=self._graph_def.versions)
    for name in sorted(walk.nodes, key=self._order.__getitem__):
      result.node.add().CopyFrom(self._nodes[name])
    if with_library:
      functions = needed_functions(self._graph_def.library, result.node)
      result.library.function.extend(functions.values())
      result.library.gradient.extend(g for g in self._graph_def.library.gradient if g.function_name in functions)
    return SubGraph(result, sorted(walk.variables, key=self._order.__getitem__))

  # Importing.

  def import_tensors(
    self,
    names: Sequence[str],
    input_map: Optional[Mapping[str, tf.Tensor]] = None,
    edit: Optional[Callable[[tf.compat.v1.GraphDef], None]] = None,
  ) -> List[Any]:
    """Imports tensors, and all that they need, into the default graph.

    Args:
      names: of tensors (`x:0`) and, without output number, operations.
      input_map: {name of a tensor: what takes its place}.
      edit: changes the nodes before they are imported.

    Returns:
      The tensors and operations, in order.

    Raises:
      CallerError: a name is unknown.
      ValueError: a variable has no initializer, or what takes a tensor's place does not fit.
    """
    given = {tensor_name(name): tensor for name, tensor in (input_map or {}).items()}
    wanted = list(dict.fromkeys(name for name in names if name not in given))
    graph_def, variables, makers = self._with_tables(wanted, given)
    if edit is not None:
      edit(graph_def)
    mapped = {**self._create_variables(variables), **given}
    found = {name: mapped[name] for name in names if name in mapped}
    _map_controls(graph_def, mapped)
    self._check_invalidate_node(graph_def, mapped)
    elements = [node.name for node in graph_def.node]
    results = tf.import_graph_def(graph_def, mapped, elements, name="") if elements else []
    imported = self._imported.setdefault(tf.compat.v1.get_default_graph(), {})
    imported.update(mapped)
    imported.update(zip(elements, results, strict=True))
    register_tables(graph_def, makers, self.imported)
    return [found[name] if name in found else self.imported(name) for name in names]

  def _with_tables(
    self, wanted: Sequence[str], given: Iterable[str]
  ) -> Tuple[tf.compat.v1.GraphDef, List[str], List[str]]:
    """What `wanted` needs, with what makes the tables that it reads: (nodes, variables, those that make tables)."""
    given, makers = list(given), []  # type: ignore[var-annotated]
    while True:
      graph_def, variables = self.sub_graph([*wanted, *makers], given)
      found = table_makers(self, graph_def.node)
      if set(found) <= set(makers):
        return graph_def, variables, makers
      makers = found

  def imported(self, name: str) -> _Imported:
    """The tensor (`x:0`) or operation of the default graph that one of this graph has become.

    Raises:
      KeyError: it was not imported.
    """
    found = self._imported.get(tf.compat.v1.get_default_graph(), {})
    if name in found:
      return found[name]
    operation = found.get(node_name(name))
    if not isinstance(operation, tf.Operation):
      raise KeyError(f"{name!r} was not imported into the default graph; nothing that was imported needs it.")
    return operation.outputs[int(name.rsplit(":", 1)[1])] if ":" in name else operation

  def _check_invalidate_node(self, graph_def: tf.compat.v1.GraphDef, input_map: Dict[str, Any]) -> None:
    """Takes out of `input_map` what no node of `graph_def` has as an input, which an import would refuse."""
    referenced = {i if is_control(i) else tensor_name(i) for node in graph_def.node for i in node.input}
    handles = {tensor_name(node.name) for node in self.nodes("VarHandleOp")}
    for name in [name for name in input_map if (name if is_control(name) else tensor_name(name)) not in referenced]:
      if not is_control(name) and name not in handles and f"^{node_name(name)}" not in input_map:
        logging.warning("Nothing that is imported uses %s, so what was given for it is not used.", name)
      del input_map[name]

  def _create_variables(self, variables: Iterable[str]) -> Dict[str, tf.Tensor]:
    """{name of the handle: the handle in the default graph} of variables.

    Whatever uses a variable (reads of any kind, gathers, assignments) takes its handle, so this is all they need, and
    the order in which they run stays as it was.
    """
    handles: Dict[str, tf.Tensor] = {}
    for name in variables:
      handle = tensor_name(name)
      if handle in handles:
        continue
      variable = self._variables.get(name) or self._variables[base_of_part(name)]
      if isinstance(variable, PartitionVariableDef):
        handles.update(
          {tensor_name(part): made.handle for part, made in zip(variable.partitions, variable.variable, strict=True)}
        )
      else:
        handles[handle] = variable.variable.handle
    return handles

  def import_input_fn(self, input_conf: monolith_model_pb2.InputFn, file_name: Optional[str] = None) -> Dict[str, Any]:
    """Imports the input of a dump into the default graph; see `_input_import.import_input_fn`."""
    return _input_import.import_input_fn(self, input_conf, file_name)

  def import_model_fn(
    self, input_map: Optional[Mapping[str, tf.Tensor]], proto_model: monolith_model_pb2.ProtoModel
  ) -> _model_import.ImportedModel:
    """Imports the model of a dump into the default graph; see `_model_import.import_model_fn`."""
    return _model_import.import_model_fn(self, input_map, proto_model)

  def import_receiver_fn(self, receiver_conf: monolith_model_pb2.ServingInputReceiverFn) -> ServingInputReceiver:
    """Imports the serving input of a dump into the default graph; see `_receiver_import.import_receiver_fn`."""
    return _receiver_import.import_receiver_fn(self, receiver_conf)

  @staticmethod
  def input_map(records: Mapping[str, str], features: Mapping[str, Any]) -> Dict[str, tf.Tensor]:
    """What features stand for in a dumped graph, for `import_model_fn`.

    Args:
      records: `InputFn.output_features`, or `ServingInputReceiverFn.features`.
      features: {feature: tensor or ragged tensor}; those that the dump does not know are passed over.

    Returns:
      {name of a tensor of the dump: tensor}.

    Raises:
      ValueError: a feature is ragged in the dump and not here, or the other way round.
    """
    found: Dict[str, tf.Tensor] = {}
    for name in (name for name in records if name in features):
      found.update(parse_feature(name, records[name]).stand_in(name, features[name]))
    return found

  def get_optimizer(self, proto_model: monolith_model_pb2.ProtoModel) -> Any:
    """The optimizer of a dump; None where it has none.

    Raises:
      ValueError: the pickle holds something else than plain data and the optimizers that dumps can hold.
    """
    return load_plain(proto_model.optimizer, "ProtoModel.optimizer") if proto_model.optimizer else None


def _clear_placement(node: tf.compat.v1.NodeDef) -> List[str]:
  """Forgets where a node was to be placed; returns the nodes that it was to be placed beside."""
  node.device = ""
  names = [colocated_node_name(name) for name in node.attr["_class"].list.s] if "_class" in node.attr else []
  node.attr.pop("_class", None)
  return [name for name in names if name != node.name]


def _map_controls(graph_def: tf.compat.v1.GraphDef, mapped: Dict[str, Any]) -> None:
  """Orders nodes after what took the place of a node they came after, or drops that order if nothing did."""
  inside = {node.name for node in graph_def.node}
  substitutes = {node_name(name): tensor for name, tensor in mapped.items() if isinstance(tensor, tf.Tensor)}
  for node in graph_def.node:
    kept = [i for i in node.input if not is_control(i) or node_name(i) in inside or node_name(i) in substitutes]
    for name in (node_name(i) for i in kept if is_control(i) and node_name(i) not in inside):
      mapped[f"^{name}"] = substitutes[name]
    if len(kept) != len(node.input):
      del node.input[:]
      node.input.extend(kept)
