# SPDX-License-Identifier: Apache-2.0
"""Rebuilding the parts of a dumped graph: its variables, its input, its model and its serving input.

DumpUtils().load(path)
with tf.Graph().as_default():
  helper = DumpUtils().get_graph_helper(ModeKeys.TRAIN)
  features = helper.import_input_fn(DumpUtils().train.input_fn)
  model = helper.import_model_fn({}, DumpUtils().train)
"""

from __future__ import annotations

from typing import Union

from absl import flags

from monolith.native_training._estimator_inputs import DatasetInitializerHook
from monolith.native_training.model_dump import _node_names
from monolith.native_training.model_dump._graph_def_helper import GraphDefHelper
from monolith.native_training.model_dump._input_import import DRY_RUN
from monolith.native_training.model_dump._variable_defs import EchoInitializer, PartitionVariableDef, VariableDef

__all__ = [
  "DRY_RUN",
  "FLAGS",
  "DatasetInitHook",
  "EchoInitializer",
  "GraphDefHelper",
  "PartitionVariableDef",
  "VariableDef",
]

FLAGS = flags.FLAGS


DatasetInitHook = DatasetInitializerHook


def _node_name(name: str) -> str:
  """The node behind an input: `^x` and `x:0` are both of node `x`."""
  return _node_names.node_name(name)


def _colocated_node_name(name: Union[str, bytes]) -> str:
  """The node that a colocation hint names: `loc:@x` is node `x`."""
  return _node_names.colocated_node_name(name)
