# SPDX-License-Identifier: Apache-2.0
"""What of a GraphDef some of its nodes need: the nodes behind them, and functions."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Set

import tensorflow as tf

from monolith.core.errors import CallerError
from monolith.native_training.model_dump._node_names import is_control, node_name, tensor_name

__all__ = ["Boundary", "SubGraph", "needed_functions", "needed_nodes"]

_VARIABLE_OPS = ("VarHandleOp",)
_REF_VARIABLE_OPS = ("Variable", "VariableV2")


class SubGraph(NamedTuple):
  """A part of a graph: its nodes, and the names of the variables that they use, whose nodes are not among them."""

  graph_def: tf.compat.v1.GraphDef
  variables: List[str]


class Boundary:
  """Where a walk towards the inputs of a graph ends.

  Args:
    sources: names of nodes, all of whose outputs come from elsewhere, and of tensors (`x:1`), which come from elsewhere
      by themselves.
  """

  def __init__(self, sources: Iterable[str]):
    sources = list(sources)
    self._tensors = {source for source in sources if ":" in source}
    self._nodes = {node_name(source) for source in sources if ":" not in source}
    self.touched = self._nodes | {node_name(source) for source in self._tensors}
    """The nodes that are cut, in whole or in part."""

  def cuts(self, name: str) -> bool:
    """Whether the walk ends at an input. An input that only orders ends it at a node that is cut in part, too."""
    if is_control(name):
      return node_name(name) in self.touched
    return node_name(name) in self._nodes or tensor_name(name) in self._tensors


class _Walk(NamedTuple):
  nodes: Set[str]
  variables: Set[str]


def needed_nodes(nodes: Mapping[str, tf.compat.v1.NodeDef], dests: Iterable[str], boundary: Boundary) -> _Walk:
  """The nodes behind `dests`, which are among them, and the variables that these use.

  Raises:
    CallerError: a destination, or an input of a node, is unknown.
    ValueError: a variable is no resource variable.
  """
  walk = _Walk(set(), set())
  ahead = [(node_name(dest), "the destinations") for dest in dests]
  while ahead:
    name, wanted_by = ahead.pop()
    if name in walk.nodes or name in walk.variables:
      continue
    if name not in nodes:
      raise CallerError(f"the graph has no node {name!r}, which {wanted_by} need; check the name and the dump.")
    node = nodes[name]
    if node.op in _REF_VARIABLE_OPS:
      raise ValueError(
        f"node {name!r} is a {node.op}, which cannot be rebuilt; dump a graph whose variables are resource variables "
        "(tf.compat.v1.get_variable_scope().set_use_resource(True))."
      )
    if node.op in _VARIABLE_OPS:
      walk.variables.add(name)
      continue
    walk.nodes.add(name)
    ahead.extend((node_name(i), f"the inputs of {name!r}") for i in node.input if not boundary.cuts(i))
  return walk


def needed_functions(library: Any, nodes: Iterable[tf.compat.v1.NodeDef]) -> Dict[str, Any]:
  """Those functions of a library that nodes call, with those that the functions call, by name."""
  known = {function.signature.name: function for function in library.function}
  found: Dict[str, Any] = {}
  ahead = [name for node in nodes for name in _called(node)]
  while ahead:
    name = ahead.pop()
    if name in found or name not in known:
      continue
    found[name] = known[name]
    ahead.extend(called for node in known[name].node_def for called in _called(node))
  return found


def _called(node: tf.compat.v1.NodeDef) -> Iterator[str]:
  yield node.op
  for value in node.attr.values():
    if value.HasField("func"):
      yield value.func.name
    for function in value.list.func:
      yield function.name
