# SPDX-License-Identifier: Apache-2.0
"""The export mode of this process, and what graphs under construction want exported.

While a model is being exported, the same user code that builds the training graph builds the serving graph; tables,
factories and models ask `is_exporting()` where the two differ. One export at a time and process.
"""

from __future__ import annotations

import collections
import contextlib
import enum
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Union

import tensorflow as tf

from monolith.core.errors import CallerError
from monolith.native_training.monolith_export import monolith_export

__all__ = [
  "ExportContext",
  "ExportMode",
  "SavedModelSignature",
  "enter_export_mode",
  "get_current_export_ctx",
  "is_dry_run_or_exporting",
  "is_exporting",
  "is_exporting_distributed",
  "is_exporting_standalone",
  "scratch_export_context",
]

Tensors = Union[tf.Tensor, Mapping[str, tf.Tensor]]


@monolith_export
class ExportMode(enum.Enum):
  """What is being exported."""

  NONE = 0
  """Nothing: training, evaluation, prediction."""
  STANDALONE = 1
  """One SavedModel that holds dense variables and tables."""
  DISTRIBUTED = 2
  """An `entry` SavedModel that calls one `ps_<i>` SavedModel per parameter server."""


class SavedModelSignature(NamedTuple):
  """A signature of a SavedModel: its name, and its tensors by public name."""

  name: str
  inputs: Dict[str, tf.Tensor]
  outputs: Dict[str, tf.Tensor]


class ExportContext:
  """Collects, during one export, the sub-graphs and the signatures of every graph.

  Args:
    with_remote_gpu: whether the dense network is exported as its own sub-model.
  """

  def __init__(self, with_remote_gpu: bool = False):
    self.sub_graphs: Dict[str, tf.Graph] = collections.defaultdict(tf.Graph)
    self.dense_sub_graphs: Dict[str, tf.Graph] = collections.defaultdict(tf.Graph)
    # Keyed by id(graph); the graph is kept beside, so that an id is never reused while the context lives.
    self._signatures: Dict[int, Dict[str, SavedModelSignature]] = collections.defaultdict(dict)
    self._graphs: Dict[int, tf.Graph] = {}
    self._with_remote_gpu = with_remote_gpu

  @property
  def with_remote_gpu(self) -> bool:
    """Whether the dense network is exported as its own sub-model."""
    return self._with_remote_gpu

  @property
  def sub_graph_num(self) -> int:
    """Number of parameter server sub-graphs created so far."""
    return len(self.sub_graphs)

  def sub_graph(self, name: str) -> tf.Graph:
    """The sub-graph `name` (such as `ps_0`), created when first asked for."""
    return self.sub_graphs[name]

  def dense_sub_graph(self, name: str) -> tf.Graph:
    """The dense sub-graph `name`, created when first asked for."""
    return self.dense_sub_graphs[name]

  def add_signature(
    self,
    graph: tf.Graph,
    name: str,
    inputs: Mapping[str, tf.Tensor],
    outputs: Mapping[str, tf.Tensor],
  ) -> None:
    """Registers signature `name` of `graph`, replacing an earlier one of that name."""
    self._record(graph, SavedModelSignature(name, dict(inputs), dict(outputs)))
    graph.add_to_collection("signature_name", name)

  def merge_signature(
    self,
    graph: tf.Graph,
    name: str,
    inputs: Mapping[str, tf.Tensor],
    outputs: Mapping[str, tf.Tensor],
  ) -> None:
    """Adds tensors to signature `name` of `graph`, creating it empty first if needed."""
    if name not in self._signatures[id(graph)]:
      self._record(graph, SavedModelSignature(name, {}, {}))
    signature = self._signatures[id(graph)][name]
    signature.inputs.update(inputs)
    signature.outputs.update(outputs)

  def signatures(self, graph: tf.Graph) -> List[SavedModelSignature]:
    """The signatures registered for `graph`, in order of registration."""
    return list(self._signatures[id(graph)].values())

  def _record(self, graph: tf.Graph, signature: SavedModelSignature) -> None:
    self._graphs[id(graph)] = graph
    self._signatures[id(graph)][signature.name] = signature


EXPORT_MODE = ExportMode.NONE
EXPORT_CTX: Optional[ExportContext] = None


@monolith_export
def is_exporting() -> bool:
  """Whether an export of either mode is in progress."""
  return EXPORT_MODE is not ExportMode.NONE


@monolith_export
def is_exporting_standalone() -> bool:
  """Whether a standalone export is in progress."""
  return EXPORT_MODE is ExportMode.STANDALONE


@monolith_export
def is_exporting_distributed() -> bool:
  """Whether a distributed export is in progress."""
  return EXPORT_MODE is ExportMode.DISTRIBUTED


def get_current_export_ctx() -> Optional[ExportContext]:
  """The context of the export in progress, or None."""
  return EXPORT_CTX


@contextlib.contextmanager
def enter_export_mode(mode: ExportMode, export_ctx: Optional[ExportContext] = None) -> Iterator[ExportContext]:
  """Switches the process to export mode `mode` inside the `with` block.

  Args:
    mode: STANDALONE or DISTRIBUTED.
    export_ctx: where graphs register; a new one by default.

  Yields:
    The export context.

  Raises:
    CallerError: an export is already in progress.
  """
  global EXPORT_MODE, EXPORT_CTX
  if EXPORT_MODE is not ExportMode.NONE or EXPORT_CTX is not None:
    raise CallerError(
      f"enter_export_mode({mode}): an export in mode {EXPORT_MODE} is in progress; "
      "exports do not nest, finish it first."
    )
  export_ctx = ExportContext() if export_ctx is None else export_ctx
  EXPORT_MODE, EXPORT_CTX = mode, export_ctx
  try:
    yield export_ctx
  finally:
    EXPORT_MODE, EXPORT_CTX = ExportMode.NONE, None


@contextlib.contextmanager
def scratch_export_context() -> Iterator[None]:
  """Inside the block, what graphs under construction register with an export in progress is forgotten again."""
  global EXPORT_CTX
  context = EXPORT_CTX
  EXPORT_CTX = None if context is None else ExportContext(context.with_remote_gpu)
  try:
    yield
  finally:
    EXPORT_CTX = context


def is_dry_run_or_exporting() -> bool:
  """Whether an export is in progress or the default graph is the collect pass' throw-away graph."""
  return is_exporting() or hasattr(tf.compat.v1.get_default_graph(), "dry_run")
