# SPDX-License-Identifier: Apache-2.0
"""The tensors of layouts from the embeddings of sharded fids, and gradients the way back."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Union

import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.core.errors import CallerError
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["fused_embedding_to_layout", "fused_embedding_to_layout_grad"]

_VARIANT_TYPES = ("example", "example_batch", "examplebatch", "instance")


def _check(function: str, variant_type: str, version: int, lengths: Optional[tf.Tensor]) -> None:
  if variant_type not in _VARIANT_TYPES:
    raise CallerError(f"{function}: variant_type is {variant_type!r}; it must be one of {_VARIANT_TYPES}.")
  if (lengths is not None) != (version == 4):
    raise CallerError(f"{function}: fid_list_emb_row_lenth goes with version 4 and no other; the version is {version}.")
  if version not in (3, 5):
    raise ValueError(f"{function}: version is {version}; 3 and 5 are built (4 is for GPUs, 1 and 2 are older).")


def _num_tensors(feature_cfgs: example_pb2.FeatureConfigs) -> int:
  none = example_pb2.OutType.NONE
  return sum(len(o.slice_configs) if o.out_type == none else 1 for o in feature_cfgs.out_configs.values())


def fused_embedding_to_layout(
  embeddings_list: Sequence[tf.Tensor],
  fid_list_row_split: Optional[Sequence[tf.Tensor]],
  fid_offset: tf.Tensor,
  feature_offset: tf.Tensor,
  nfl_offset: tf.Tensor,
  batch_size: tf.Tensor,
  variant_type: str,
  feature_cfgs: example_pb2.FeatureConfigs,
  ps_num: int,
  fid_list_emb_row_lenth: Optional[tf.Tensor] = None,
  nfl_size: Optional[tf.Tensor] = None,
  feature_size: Optional[tf.Tensor] = None,
  fid_size: Optional[tf.Tensor] = None,
  emb_size: Optional[tf.Tensor] = None,
  parallel_flag: int = 0,
  version: int = 3,
) -> List[tf.Tensor]:
  """Pools and joins embeddings into the tensors of `feature_cfgs.out_configs`.

  The gradient with respect to `embeddings_list` is registered.

  Args:
    embeddings_list: float32 embeddings of each table and shard, table by table, in the order of their fids.
    fid_list_row_split: not needed from version 3 on.
    fid_offset, feature_offset, nfl_offset, batch_size, nfl_size, feature_size, fid_size, emb_size: from
      `sharding_sparse_fids`; the sizes are needed by version 5.
    variant_type: what the records are; the numbers are the same.
    feature_cfgs: features and layouts.
    ps_num: shards.
    fid_list_emb_row_lenth: for version 4 only.
    parallel_flag: kept for compatibility.
    version: 3 or 5.

  Returns:
    By the names of the layouts: CONCAT [B, sum of dims], STACK [B, slices, dim], ADDN [B, dim], NONE one [B, dim] a
    slice; with an axis of positions before the last one where features are sequences (FIRSTN). Sums, means (0 for a
    row without fids), or the first embeddings of rows.

  Raises:
    CallerError: variant_type is unknown, or fid_list_emb_row_lenth does not go with the version.
    ValueError: the version is not built, or sizes are missing.
    InvalidArgumentError: offsets point beyond the embeddings.
  """
  del fid_list_row_split
  _check("fused_embedding_to_layout", variant_type, version, fid_list_emb_row_lenth)
  arguments: List[Any] = [list(embeddings_list), fid_offset, feature_offset, nfl_offset, batch_size]
  attributes = {
    "num_out": _num_tensors(feature_cfgs),
    "variant_type": variant_type,
    "feature_cfgs": feature_cfgs.SerializeToString(),
    "ps_num": ps_num,
    "parallel_flag": parallel_flag,
  }
  if version == 3:
    return gen_monolith_ops.monolith_embedding_to_layout_v3(*arguments, **attributes)
  sizes = [nfl_size, feature_size, fid_size, emb_size]
  if any(size is None for size in sizes):
    raise ValueError("fused_embedding_to_layout: version 5 needs nfl_size, feature_size, fid_size and emb_size.")
  return gen_monolith_ops.monolith_embedding_to_layout_v5(*arguments, *sizes, **attributes)


def fused_embedding_to_layout_grad(
  nfl_offset: tf.Tensor,
  feature_offset: tf.Tensor,
  fid_offset: tf.Tensor,
  batch_size: tf.Tensor,
  embeddings_list: Sequence[tf.Tensor],
  fid_list_row_split: Optional[Sequence[tf.Tensor]],
  layout_tensors_grad: Sequence[tf.Tensor],
  variant_type: str,
  feature_cfgs: example_pb2.FeatureConfigs,
  ps_num: int,
  fid_list_emb_row_lenth: Optional[tf.Tensor] = None,
  layout_tensors_grad_scale: Union[None, float, tf.Tensor] = None,
  parallel_flag: int = 0,
  version: int = 3,
) -> List[tf.Tensor]:
  """The gradient of every embedding, summed over all places of its fid; 0 for those that no layout uses.

  Args:
    layout_tensors_grad: of every tensor of `fused_embedding_to_layout` a gradient of its shape.
    layout_tensors_grad_scale: a factor of these.
    nfl_offset, feature_offset, fid_offset, batch_size, embeddings_list, fid_list_row_split, variant_type,
      feature_cfgs, ps_num, fid_list_emb_row_lenth, parallel_flag, version: as there.

  Returns:
    Like `embeddings_list`.

  Raises:
    CallerError, ValueError, InvalidArgumentError: as there.
  """
  del fid_list_row_split
  _check("fused_embedding_to_layout_grad", variant_type, version, fid_list_emb_row_lenth)
  if layout_tensors_grad_scale is not None:
    layout_tensors_grad = [grad * layout_tensors_grad_scale for grad in layout_tensors_grad]
  return gen_monolith_ops.monolith_embedding_to_layout_grad_v3(
    list(embeddings_list),
    fid_offset,
    feature_offset,
    nfl_offset,
    batch_size,
    list(layout_tensors_grad),
    variant_type=variant_type,
    feature_cfgs=feature_cfgs.SerializeToString(),
    ps_num=ps_num,
    parallel_flag=parallel_flag,
  )


@tf.RegisterGradient("MonolithEmbeddingToLayoutV3")
@tf.RegisterGradient("MonolithEmbeddingToLayoutV5")
def _layout_gradient(op: Any, *grads: Optional[tf.Tensor]) -> List[Optional[tf.Tensor]]:
  num_lists = op.get_attr("M")
  inputs = list(op.inputs)
  given = [tf.zeros_like(o) if g is None else g for o, g in zip(op.outputs, grads, strict=True)]
  result = gen_monolith_ops.monolith_embedding_to_layout_grad_v3(
    inputs[:num_lists],
    *inputs[num_lists : num_lists + 4],
    given,
    variant_type=op.get_attr("variant_type"),
    feature_cfgs=op.get_attr("feature_cfgs"),
    ps_num=op.get_attr("ps_num"),
    parallel_flag=op.get_attr("parallel_flag"),
  )
  return [*result, *[None] * (len(inputs) - num_lists)]
