# SPDX-License-Identifier: Apache-2.0
"""Combined lookups on parameter servers: what the worker does between its batch and its servers.

One op deals the distinct fids of all features out, one combines the rows that come back, and one takes gradients back
to a sum for each distinct fid. Each server gets one message of fids and one of gradients a step, and sends one of rows;
the number of ops does not grow with that of features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, List, NamedTuple, Optional

from monolith.native_training import fused_embedding
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

__all__ = ["DealtFids", "DealtLookup", "as_ragged"]

_ATTRIBUTES = ("dims", *fused_embedding.PLAN_ATTRIBUTES)


class DealtFids(NamedTuple):
  """Where the fids of a batch went.

  Attributes:
    messages: for each server int64 `[tables + 1 + n]`: row splits of the tables, and its distinct fids.
    places: int64 `[fids of the batch]`, where the row of each is.
  """

  messages: List[tf.Tensor]
  places: tf.Tensor


def as_ragged(message: tf.Tensor, num_tables: int) -> tf.RaggedTensor:
  """The fids of a message, int64 `[tables, None]`. Meant for the server, so that they travel in one piece."""
  splits, fids = tf.split(message, [num_tables + 1, -1])
  splits.set_shape([num_tables + 1])
  return tf.RaggedTensor.from_row_splits(fids, splits, validate=False)


class DealtLookup:
  """Looks features up on several servers, and takes their gradients back.

  Args:
    table_names: of each server's tables, in order.
    dims: widths of their embeddings.
    num_servers: a fid belongs to server unsigned(fid) mod `num_servers`.
    layout: features and outputs.
    ids: int64 fids of every feature: `[B]`, `[B, L]` or ragged `[B, None]`.

  Raises:
    KeyError: a table or the ids of a feature are missing.
    ValueError: ids have a wrong shape.
  """

  def __init__(
    self,
    table_names: Sequence[str],
    dims: Sequence[int],
    num_servers: int,
    layout: fused_embedding.Layout,
    ids: Mapping[str, fused_embedding.Ids],
  ):
    self._num_servers = num_servers
    self._layout = layout
    self._attributes = {"dims": list(dims), **layout.attributes(table_names)}
    self._ids, self._splits = layout.ids_and_splits(ids)

  def deal(self) -> DealtFids:
    """Deals the fids out."""
    messages, places = gen_monolith_ops.monolith_deal_fids(
      self._ids,
      num_tables=len(self._attributes["dims"]),
      num_shards=self._num_servers,
      tables=self._attributes["tables"],
    )
    return DealtFids(list(messages), places)

  def combine(self, dealt: DealtFids, rows: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    """The outputs of the layout, differentiable with respect to `rows`.

    Args:
      dealt: of these ids.
      rows: of each server float32, flat: the rows of its fids in their order.

    Returns:
      For every output float32 `[B, width]` or `[B, seq_length, width]`, as `fused_embedding.combined_lookup`.
    """
    outputs = gen_monolith_ops.monolith_combine_dealt(
      list(rows),
      dealt.messages,
      dealt.places,
      self._ids,
      self._splits,
      M=len(self._attributes["output_widths"]),
      **self._attributes,
    )
    return dict(zip(self._layout.output_names, outputs, strict=True))

  def gradients(self, dealt: DealtFids, output_gradients: Mapping[str, tf.Tensor]) -> List[tf.Tensor]:
    """Of each server float32, flat: the summed gradient of each of its fids in their order.

    Raises:
      KeyError: the gradient of an output is missing.
    """
    return gen_monolith_ops.monolith_combine_dealt_gradient(
      dealt.messages,
      dealt.places,
      self._ids,
      self._splits,
      self._layout.in_order(output_gradients),
      **self._attributes,
    )


@tf.RegisterGradient("MonolithCombineDealt")
def _combine_gradient(op: Any, *output_gradients: Any) -> List[Optional[tf.Tensor]]:
  attributes = {name: op.get_attr(name) for name in _ATTRIBUTES}
  num_servers, num_features = op.get_attr("S"), op.get_attr("N")
  messages, rest = list(op.inputs[num_servers : 2 * num_servers]), list(op.inputs[2 * num_servers + 1 :])
  gradients = [
    tf.zeros_like(output) if gradient is None else tf.convert_to_tensor(gradient)
    for output, gradient in zip(op.outputs, output_gradients, strict=True)
  ]
  rows = gen_monolith_ops.monolith_combine_dealt_gradient(
    messages, op.inputs[2 * num_servers], rest[:num_features], rest[num_features:], gradients, **attributes
  )
  return [*rows, *[None] * (len(op.inputs) - num_servers)]


tf.no_gradient("MonolithDealFids")
tf.no_gradient("MonolithCombineDealtGradient")
