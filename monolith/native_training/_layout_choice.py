# SPDX-License-Identifier: Apache-2.0
"""Whether a graph's embeddings come in layouts, of records whose fids stay in them.

`CpuTrainingConfig.enable_fused_layout` says it; where that is None, layouts are chosen if the model's lookups fit into
them and the input gives its features as they are parsed.
"""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, NamedTuple, Optional

import tensorflow as tf

from monolith.native_training import graph_meta
from monolith.native_training._collect_pass import FeatureConfigs
from monolith.native_training._combined_step import why_not_combined
from monolith.native_training._estimator_inputs import features_and_labels
from monolith.native_training._input_records import InputColumns
from monolith.native_training._layout_step import remember_parser
from monolith.native_training._mode_pass import ModeLookups
from monolith.native_training.data import parsers

__all__ = ["InputChoice", "choice_of_graph", "iterator_name", "make_input", "why_not_layouts"]

_CHOICE = "layout_choice"


class InputChoice(NamedTuple):
  """How the input of a graph is parsed.

  Attributes:
    reason: why its fids do not stay in the records; None where they do.
    found: what the model looks up in the graph's mode, where a dry run has found it out already.
  """

  reason: Optional[str]
  found: Optional[ModeLookups] = None


def choice_of_graph() -> InputChoice:
  """What `make_input` chose for the input of the default graph."""
  return _choices()[0]


def _choices() -> List[InputChoice]:
  return graph_meta.get_meta(_CHOICE, lambda: [InputChoice("the input leaves no records")])


def iterator_name(records: bool) -> str:
  """How checkpoints of an input's position call its iterators: what was read ahead fits one kind of elements only."""
  return "record_iterator" if records else "iterator"


def why_not_layouts(configs: FeatureConfigs, layouts: Mapping[str, Any], columns: InputColumns) -> Optional[str]:
  """Why a model does not get layouts, or None where it does.

  Args:
    configs: the tables, and the model's lookups in the mode in question.
    layouts: {layout: how one lookup of `lookup_embedding_slice` joins slices}, in that mode.
    columns: of the input.
  """
  reason = why_not_combined(configs)
  if reason is None and configs.lookups.outside:
    reason = configs.lookups.outside[0]
  if reason is None and not layouts:
    reason = "model_fn looks nothing up by lookup_embedding_slice"
  return reason or columns.why_no_records(configs.feature_to_table)


def make_input(make: Callable[[], Any], by_layout: bool, choice: InputChoice, columns: Optional[InputColumns]) -> Any:
  """Makes the input of the default graph, and remembers how.

  Args:
    make: the input function.
    by_layout: whether the settings ask for records.
    choice: what is chosen where they do not.
    columns: of the input; given if records were chosen, not asked for.
  """
  if columns is not None and choice.reason is None and not by_layout:
    with parsers.ParserCtx(True) as ctx:
      result, reason = _try(make, columns)
    choice = choice._replace(reason=reason)
    if reason is None:
      return _remember(result, ctx, choice)
  with parsers.ParserCtx(by_layout or choice.reason is None) as ctx:
    result = make()
  return _remember(result, ctx, choice)


def _remember(result: Any, ctx: parsers.ParserCtx, choice: InputChoice) -> Any:
  remember_parser(ctx)
  _choices()[0] = choice
  return result


def _try(make: Callable[[], Any], columns: InputColumns) -> Any:
  """What an input function gives where fids stay in the records, and why that is of no use, if so."""
  try:
    result = make()
  except Exception as error:  # noqa: BLE001 (the user's code, in a situation that it may not be written for)
    return None, f"the input fails on records whose fids are not parsed ({error!r})"
  structure = result.element_spec if isinstance(result, tf.data.Dataset) else result
  features, _ = features_and_labels(structure)
  expected = {*columns.others, parsers.SPARSE_FEATURES_KEY}
  if not isinstance(features, Mapping) or set(features) != expected:
    return None, "the input gives other features where fids stay in the records"
  return result, None
