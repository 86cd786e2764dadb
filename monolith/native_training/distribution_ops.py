# SPDX-License-Identifier: Apache-2.0
"""Ops between features and tables: deal ids out to servers, look each one up once, pool, and back.

Every function works in graphs, in `tf.function` and eagerly. Ids are int64, vectors float32. Shapes
below: n ids, dim floats a vector, B examples, r rows of a ragged tensor. A caller's mistake that only
shows when the op runs raises tf.errors.InvalidArgumentError, which names the input and the value.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

from monolith.native_training import _refused_names
from monolith.native_training._layout_ops import fused_embedding_to_layout, fused_embedding_to_layout_grad  # noqa: F401
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

gen_distribution_ops = gen_monolith_ops

_Shape = Union[tf.TensorShape, Sequence[Optional[int]]]

# Belongs to in-worker tables, to the fused layout or to GPUs, which are not built yet.
__getattr__ = _refused_names.refusing(
  __name__,
  dict.fromkeys(
    [
      "reorder_by_indices",
      "fused_reorder_by_indices",
      "gather_embeddings_by_input",
      "gather_embeddings_by_ids_gradient_back_prop",
      "fused_gather_embeddings_by_input",
      "fused_gather_embeddings_by_input_gradient",
      "fused_sorted_segment_sum",
      "fused_reduce_and_split_gpu",
    ],
    "is not supported yet; tables live on parameter servers or in the one local process (distributed_ps_factory).",
  ),
)


# ---- to shards and back ----


def split_by_indices(indices: tf.Tensor, tensor: tf.Tensor, num_splits: int) -> List[tf.Tensor]:
  """Deals the rows of `tensor` out; rows of one split keep their order.

  Args:
    indices: int64 [n], the split of each row, in [0, num_splits).
    tensor: float32 or int64 [n, ...].
    num_splits: at least 1.

  Returns:
    `num_splits` tensors [?, ...].
  """
  return gen_monolith_ops.monolith_split_by_indices(indices, tensor, num_splits=num_splits)


@tf.RegisterGradient("MonolithSplitByIndices")
def _split_by_indices_gradient(op, *grads):
  indices, tensor = op.inputs
  if tensor.dtype != tf.float32:
    return None, None
  return None, gen_monolith_ops.monolith_split_by_indices_gradient(indices, tensor, list(grads))


def ragged_split_by_indices(
  indices: tf.Tensor, num: tf.RaggedTensor, num_splits: int
) -> Tuple[List[tf.RaggedTensor], List[tf.RaggedTensor]]:
  """Deals the values of a ragged tensor out; each split has all the rows.

  Args:
    indices: int64 [n], the split of each value.
    num: int64 [r, None] with n values.
    num_splits: at least 1.

  Returns:
    The values of each split, [r, None], and beside each value its index among all n.
  """
  values, row_splits, positions = gen_monolith_ops.monolith_ragged_split_by_indices(
    indices, num.values, num.row_splits, num_splits=num_splits
  )
  return (
    [_ragged(value, split) for value, split in zip(values, row_splits, strict=True)],
    [_ragged(position, split) for position, split in zip(positions, row_splits, strict=True)],
  )


tf.no_gradient("MonolithRaggedSplitByIndices")


def _ragged(values, row_splits: tf.Tensor) -> tf.RaggedTensor:
  return tf.RaggedTensor.from_row_splits(values, row_splits, validate=False)


def normalize_merged_split(row_split: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
  """Makes one tensor's row splits of several ones laid end to end.

  Args:
    row_split: int64 [s].
    size: int32 [m], how many numbers each part has.

  Returns:
    int64 [s + 1 - m].
  """
  return gen_monolith_ops.monolith_normalize_merged_split(row_split, size)


tf.no_gradient("MonolithNormalizeMergedSplit")

# ---- every distinct id once ----


class UniqueKeyWithValueAndOffset(NamedTuple):
  """The distinct ids of every row, and where each one's vector goes in the shared buffer.

  Attributes:
    unique_key: int64 [r, None], in the order first seen.
    value_offset: int64 [r, None, None], for each unique id its places, counted in floats.
    value_buffer: handle of the buffer, or of nothing.
  """

  unique_key: tf.RaggedTensor
  value_offset: tf.RaggedTensor
  value_buffer: tf.Tensor


def unique_key_with_value_and_offset(
  key: tf.RaggedTensor, dims: Sequence[int], generate_buffer: bool = True
) -> UniqueKeyWithValueAndOffset:
  """Finds the distinct ids of every row.

  Args:
    key: int64 [r, None], one row a table.
    dims: the width of each table's vectors, r of them.
    generate_buffer: whether to make the buffer that fill_with_offset_map writes to. It lives as long
      as a handle of it does, at most for the step.
  """
  unique, unique_split, offset, offset_split, value_buffer = gen_monolith_ops.monolith_unique_key_with_value_and_offset(
    key.values, key.row_splits, dims=list(dims), generate_buffer=generate_buffer
  )
  return UniqueKeyWithValueAndOffset(
    _ragged(unique, unique_split), _ragged(_ragged(offset, offset_split), unique_split), value_buffer
  )


tf.no_gradient("MonolithUniqueKeyWithValueAndOffset")


def fill_with_offset_map(
  pos: tf.RaggedTensor,
  value: tf.Tensor,
  value_offset_map: tf.RaggedTensor,
  value_buffer: tf.Tensor,
  dims: Sequence[int],
) -> tf.Tensor:
  """Copies vectors to all the places of their ids in the shared buffer.

  Args:
    pos: int64 [r, None], the number of the unique id that each vector belongs to.
    value: flat float32, dims[j] floats for every pos of row j.
    value_offset_map: int64 [r, None, None], `value_offset` of the unique op.
    value_buffer: its handle.
    dims: the width of each table's vectors.

  Returns:
    The handle; reading through it happens after the write.
  """
  return gen_monolith_ops.monolith_fill_with_offset_map(
    pos.values,
    pos.row_splits,
    value,
    value_offset_map.flat_values,
    value_offset_map.values.row_splits,
    value_buffer,
    dims=list(dims),
  )


def fill_with_offset_map_gradient(
  pos: tf.RaggedTensor, grad: tf.Tensor, value_offset_map: tf.RaggedTensor, dims: Sequence[int]
) -> tf.Tensor:
  """Sums the buffer's gradient over the places of each id that `pos` names.

  Args:
    pos: int64 [r, None].
    grad: flat float32, the gradient of the whole buffer.
    value_offset_map: int64 [r, None, None].
    dims: the width of each table's vectors.

  Returns:
    flat float32, dims[j] floats for every pos of row j.
  """
  return gen_monolith_ops.monolith_fill_with_offset_map_gradient(
    pos.values, pos.row_splits, grad, value_offset_map.flat_values, value_offset_map.values.row_splits, dims=list(dims)
  )


@tf.RegisterGradient("MonolithFillWithOffsetMap")
def _fill_with_offset_map_gradient(op, grad):
  pos, pos_split, _, offset_map, offset_map_split, _ = op.inputs
  value_grad = gen_monolith_ops.monolith_fill_with_offset_map_gradient(
    pos, pos_split, grad, offset_map, offset_map_split, dims=op.get_attr("dims")
  )
  # The buffer itself passes its gradient on to whoever filled it before.
  return None, None, value_grad, None, None, grad


def finalize_shared_tensor(shared_tensor_handles: Sequence[tf.Tensor], dtype: tf.DType, shape: _Shape) -> tf.Tensor:
  """Takes the tensor out of the buffer once all writers are done.

  Args:
    shared_tensor_handles: handles of one buffer, one a writer.
    dtype: tf.float32.
    shape: what to reshape it to; at most one dimension may be unknown.
  """
  return gen_monolith_ops.monolith_finalize_shared_tensor(list(shared_tensor_handles), dtype=dtype, shape=shape)


@tf.RegisterGradient("MonolithFinalizeSharedTensor")
def _finalize_shared_tensor_gradient(op, grad):
  return [tf.reshape(grad, [-1])] * len(op.inputs)


# ---- map ids to the rows that shards returned ----


def map_id_to_embedding(
  ids: Sequence[tf.Tensor], embeddings: Sequence[tf.Tensor], input: tf.Tensor, use_multi_threads: bool = True
) -> tf.Tensor:
  """Puts the rows that shards returned into the order of `input`.

  Args:
    ids: int64 [n_s] a shard; of a repeated id the first row counts.
    embeddings: float32 [n_s, dim] a shard.
    input: int64, any shape, ids that occur in `ids`.
    use_multi_threads: whether to copy on several threads.

  Returns:
    float32, shape of input + [dim].

  Raises:
    ValueError: as many id lists as embeddings are needed.
  """
  if len(ids) != len(embeddings):
    raise ValueError(
      f"map_id_to_embedding: {len(ids)} id lists but {len(embeddings)} embeddings; give one of each for every shard."
    )
  return gen_monolith_ops.monolith_map_id_to_embedding(
    list(ids), list(embeddings), input, use_multi_threads=use_multi_threads
  )


def map_id_to_embedding_gradient_back_prop(
  ids: Sequence[tf.Tensor], input: tf.Tensor, grads: tf.Tensor
) -> List[tf.Tensor]:
  """The gradient of map_id_to_embedding for each shard, [n_s, dim]: summed over occurrences."""
  return gen_monolith_ops.monolith_map_id_to_embedding_gradient(list(ids), input, grads)


@tf.RegisterGradient("MonolithMapIdToEmbedding")
def _map_id_to_embedding_gradient(op, grad):
  n = op.get_attr("num_splits")
  ids, inputs = list(op.inputs[:n]), op.inputs[2 * n]
  return [None] * n + list(map_id_to_embedding_gradient_back_prop(ids, inputs, grad)) + [None]


# ---- pooling ----


def reduce_sum(
  id_indices: tf.Tensor, id_values: tf.Tensor, id_length: tf.Tensor, name: Optional[str] = None
) -> tf.Tensor:
  """Sums the rows of each example.

  Args:
    id_indices: int64 [n, 1], the example of each row.
    id_values: float32 [n, dim].
    id_length: int64 [1], the number of examples B.
    name: of the op.

  Returns:
    float32 [B, dim]; zeros where an example has no row.
  """
  return gen_monolith_ops.monolith_reduce_sum(id_indices, id_values, id_length, name=name)


def reduce_mean(
  id_indices: tf.Tensor, id_values: tf.Tensor, id_length: tf.Tensor, name: Optional[str] = None
) -> tf.Tensor:
  """As reduce_sum, the mean."""
  return gen_monolith_ops.monolith_reduce_mean(id_indices, id_values, id_length, name=name)


def reduce_sqrtn(
  id_indices: tf.Tensor, id_values: tf.Tensor, id_length: tf.Tensor, name: Optional[str] = None
) -> tf.Tensor:
  """As reduce_sum, the square root of the sum of squares; its gradient is 0 where that is 0."""
  return gen_monolith_ops.monolith_reduce_square_norm(id_indices, id_values, id_length, name=name)


@tf.RegisterGradient("MonolithReduceSum")
def _reduce_sum_gradient(op, grad):
  return None, gen_monolith_ops.monolith_reduce_sum_gradient(op.inputs[0], grad), None


@tf.RegisterGradient("MonolithReduceMean")
def _reduce_mean_gradient(op, grad):
  return None, gen_monolith_ops.monolith_reduce_mean_gradient(op.inputs[0], grad), None


@tf.RegisterGradient("MonolithReduceSquareNorm")
def _reduce_sqrtn_gradient(op, grad):
  values_grad = gen_monolith_ops.monolith_reduce_square_norm_gradient(op.inputs[0], op.inputs[1], grad)
  return None, values_grad, None


def fused_reduce_sum_and_split(
  id_indices: tf.Tensor,
  id_values: tf.Tensor,
  id_length: tf.Tensor,
  split_dims: Sequence[int],
  name: Optional[str] = None,
) -> List[tf.Tensor]:
  """Sums the rows of each example and cuts the columns, in one pass.

  Args:
    id_indices: int64 [n], the example of each row.
    id_values: float32 [n, sum of split_dims].
    id_length: int64 scalar, the number of examples B.
    split_dims: the widths to cut into.
    name: of the op.

  Returns:
    float32 [B, split_dims[i]] each.
  """
  return gen_monolith_ops.monolith_fused_reduce_sum_and_split(
    id_indices,
    id_values,
    tf.reshape(tf.cast(id_length, tf.int64), [1]),
    M=len(split_dims),
    split_dims=list(split_dims),
    name=name,
  )


@tf.RegisterGradient("MonolithFusedReduceSumAndSplit")
def _fused_reduce_sum_and_split_gradient(op, *grads):
  values_grad = gen_monolith_ops.monolith_fused_reduce_sum_and_split_gradient(
    op.inputs[0], list(grads), split_dims=op.get_attr("split_dims")
  )
  return None, values_grad, None
