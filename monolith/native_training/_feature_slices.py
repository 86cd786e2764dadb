# SPDX-License-Identifier: Apache-2.0
"""The real pass: a factory that answers lookups from embeddings that were looked up before."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence

import tensorflow as tf

from monolith.native_training import distribution_ops, embedding_combiners
from monolith.native_training._feature_slots import (
  FeatureEmbTable,
  FeatureFactory,
  FeatureSlot,
  FeatureSlotConfig,
)
from monolith.native_training.model_export import export_context

__all__ = [
  "EmbeddingFeatureEmbTable",
  "FeatureFactoryFromEmbeddings",
  "add_to_reduced",
  "create_embedding_slices",
  "slice_key",
]

_REDUCED_COLLECTION = "monolith_reduced_embs"


def add_to_reduced(combined: tf.Tensor) -> None:
  """While a model is exported, notes that its dense network starts here: exporters that cut the graph look for it."""
  if export_context.is_exporting():
    tf.compat.v1.add_to_collection(_REDUCED_COLLECTION, combined)


def slice_key(feature_name: str, start: int, end: int) -> str:
  """Key of columns [start, end) of a feature."""
  return f"{feature_name}:{start}_{end}"


class EmbeddingFeatureEmbTable(FeatureEmbTable):
  """Answers lookups from two dicts.

  Args:
    embeddings: {feature: [number of fids, D]}, uncombined.
    embedding_slices: {`slice_key`: combined columns}.
  """

  def __init__(self, embeddings: Mapping[str, tf.Tensor], embedding_slices: Mapping[str, tf.Tensor]):
    self._embeddings = embeddings
    self._embedding_slices = embedding_slices

  def embedding_lookup(self, feature_name: str, start: Optional[int], end: Optional[int]) -> tf.Tensor:
    """As in the base class.

    Raises:
      KeyError: the collect pass met no such feature or slice.
    """
    if start is None or end is None:
      found, key = self._embeddings, feature_name
    else:
      found, key = self._embedding_slices, slice_key(feature_name, start, end)
    if key not in found:
      raise KeyError(
        f"the first pass over the model met no embedding {key!r}; it met {sorted(found)}. "
        "model_fn must create the same slots and slices, in the same order, each time it is called."
      )
    return found[key]


class FeatureFactoryFromEmbeddings(FeatureFactory):
  """Slots over embeddings that were looked up before.

  Args:
    name_to_embeddings: {feature: [number of fids, D]}, uncombined; gradients are taken by these.
    name_to_embedding_slices: {`slice_key`: combined columns}, from `create_embedding_slices`.
  """

  def __init__(
    self,
    name_to_embeddings: Mapping[str, tf.Tensor],
    name_to_embedding_slices: Mapping[str, tf.Tensor],
  ):
    super().__init__()
    self._table = EmbeddingFeatureEmbTable(name_to_embeddings, name_to_embedding_slices)

  def create_feature_slot(self, config: FeatureSlotConfig) -> FeatureSlot:
    return FeatureSlot(self._table, config)


def create_embedding_slices(
  name_to_embeddings: Mapping[str, tf.Tensor],
  name_to_embedding_ids: Mapping[str, tf.RaggedTensor],
  feature_to_combiner: Mapping[str, embedding_combiners.Combiner],
  feature_to_unmerged_slice_dims: Mapping[str, Sequence[int]],
) -> Dict[str, tf.Tensor]:
  """Combines the embeddings of each feature's fids and cuts the result into its slices.

  Args:
    name_to_embeddings: {feature: float32 [number of fids, D]}.
    name_to_embedding_ids: {feature: ragged int64 [B, None]}.
    feature_to_combiner: {feature: combiner}.
    feature_to_unmerged_slice_dims: {feature: widths of its slices}; they add up to D.

  Returns:
    {`slice_key`: [B, width], or [B, L, width] for a sequence}.

  Raises:
    ValueError: the widths do not add up to the width of the embedding.
  """
  result: Dict[str, tf.Tensor] = {}
  for name in sorted(name_to_embeddings):
    dims = list(feature_to_unmerged_slice_dims[name])
    embedding = name_to_embeddings[name]
    if embedding.shape[-1] is not None and embedding.shape[-1] != sum(dims):
      raise ValueError(
        f"feature {name!r}: slices {dims} have {sum(dims)} columns, its embedding has {embedding.shape[-1]}."
      )
    pieces = _combine_and_split(name_to_embedding_ids[name], embedding, feature_to_combiner[name], dims)
    end = 0
    for dim, piece in zip(dims, pieces, strict=True):
      end += dim
      result[slice_key(name, end - dim, end)] = piece
  return result


def _combine_and_split(
  fids: tf.RaggedTensor,
  embedding: tf.Tensor,
  combiner: embedding_combiners.Combiner,
  dims: List[int],
) -> List[tf.Tensor]:
  summed = isinstance(combiner, embedding_combiners.ReduceSum)
  if summed and not export_context.is_exporting():
    pieces = distribution_ops.fused_reduce_sum_and_split(fids.value_rowids(), embedding, fids.nrows(), dims)
    for piece, dim in zip(pieces, dims, strict=True):
      piece.set_shape([fids.shape[0], dim])
    return pieces
  combined = combiner.combine(fids, embedding)
  if summed:
    add_to_reduced(combined)
  return tf.split(combined, dims, axis=-1)
