# SPDX-License-Identifier: Apache-2.0
"""Ops that layers stand on: FFM, feature insight, interaction, maximum, scaled columns, and counting of fids.

All have gradients, and these have gradients too.

ByteDance's Monolith also declares ops for searching architectures (BernoulliGate, DiscreteGate, DiscreteTruncatedGate,
NasArchWeight, BinaryMaskToSlotWeight, SegmentDiscreteGate). What they compute was never published, so they are not
here.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from monolith.native_training.layers import utils
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf


def ffm(left: tf.Tensor, right: tf.Tensor, dim_size: int, int_type: str = "multiply") -> tf.Tensor:
  """Crosses every vector of one group of features with every vector of another.

  It is the interaction of field-aware factorization machines (Juan et al., 2016,
  https://doi.org/10.1145/2959100.2959134), between two groups:

  >>> left, right = tf.constant([[1., 2., 3., 4.]]), tf.constant([[5., 6.]])
  >>> ffm(left, right, dim_size=2).numpy().tolist()
  [[5.0, 12.0, 15.0, 24.0]]
  >>> ffm(left, right, dim_size=2, int_type="dot").numpy().tolist()
  [[17.0, 39.0]]

  Args:
    left: float `[B, L * dim_size]`, L vectors side by side. The op computes in float32; for another dtype TensorFlow's
      own ops do.
    right: `[B, R * dim_size]`, of the same dtype.
    dim_size: width of one vector, >= 1. Output and time grow with it in 'multiply'; in 'dot' only time does.
    int_type: 'dot' for inner products; anything else for products element by element.

  Returns:
    'dot': `[B, L * R]`, else `[B, L * R * dim_size]`; the pair (l, r) is number `l * R + r`.

  Raises:
    ValueError, tf.errors.InvalidArgumentError: a side is no matrix or its width no multiple of `dim_size`, or the
      batches differ; the former where shapes are known when the graph is built.
  """
  left, right = tf.convert_to_tensor(left), tf.convert_to_tensor(right)
  if left.dtype == tf.float32:
    return gen_monolith_ops.ffm(left=left, right=right, dim_size=dim_size, int_type=int_type)
  # einsum checks that sizes of one letter are equal, where a product would broadcast.
  equation = "bld,brd->blr" if int_type == "dot" else "bld,brd->blrd"
  crossed = tf.einsum(equation, _vectors(left, dim_size), _vectors(right, dim_size))
  width = utils.dim_size(left, 1) * utils.dim_size(right, 1) // (dim_size**2 if int_type == "dot" else dim_size)
  return tf.reshape(crossed, [tf.shape(left)[0], width])


def ffm_of_features(left: Sequence[tf.Tensor], right: Sequence[tf.Tensor], int_type: str = "multiply") -> tf.Tensor:
  """`ffm` of features that lie in tensors of their own, without joining them first.

  >>> left, right = [tf.constant([[1., 2.]]), tf.constant([[3., 4.]])], [tf.constant([[5., 6.]])]
  >>> ffm_of_features(left, right).numpy().tolist()
  [[5.0, 12.0, 15.0, 24.0]]

  Args:
    left: L >= 1 float tensors `[B, D]`. The op computes in float32; for another dtype TensorFlow's own ops do.
    right: R >= 1 like them.
    int_type: see `ffm`.

  Returns:
    'dot': `[B, L * R]`, else `[B, L * R * D]`; the pair (l, r) is number `l * R + r`.

  Raises:
    ValueError, tf.errors.InvalidArgumentError: a side has no feature, or the features are no matrices of one shape; the
      former where shapes are known when the graph is built.
  """
  if not left or not right:
    raise ValueError(f"ffm_of_features: {len(left)} features on the left and {len(right)} on the right; 0 cross.")
  left, right = ([tf.convert_to_tensor(x) for x in side] for side in (left, right))
  if left[0].dtype == tf.float32:
    return gen_monolith_ops.monolith_ffm_of_features(left=left, right=right, int_type=int_type)
  return ffm(tf.concat(left, 1), tf.concat(right, 1), utils.dim_size(left[0], 1), int_type)


def _vectors(x: tf.Tensor, dim: int) -> tf.Tensor:
  """Returns `[B, n, dim]` for n vectors side by side."""
  return tf.reshape(x, [tf.shape(x)[0], utils.dim_size(x, 1) // dim, dim])


@tf.RegisterGradient("FFM")
def _ffm_grad(op: tf.Operation, grad: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  left, right = op.inputs
  return gen_monolith_ops.ffm_grad(
    grad=grad,
    left=left,
    right=right,
    dim_size=op.get_attr("dim_size"),
    int_type=op.get_attr("int_type"),
  )


@tf.RegisterGradient("FFMGrad")
def _ffm_grad_grad(op: tf.Operation, of_left: tf.Tensor, of_right: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  # Both outputs are `grad` times the other side, so each input meets the gradient of the output that it is not in.
  grad, left, right = op.inputs
  settings = {name: op.get_attr(name) for name in ("dim_size", "int_type")}
  of_grad = gen_monolith_ops.ffm(left=of_left, right=right, **settings)
  of_grad += gen_monolith_ops.ffm(left=left, right=of_right, **settings)
  return of_grad, *gen_monolith_ops.ffm_grad(grad=grad, left=of_left, right=of_right, **settings)


@tf.RegisterGradient("MonolithFfmOfFeatures")
def _ffm_of_features_grad(op: tf.Operation, grad: tf.Tensor) -> list[tf.Tensor]:
  num_left = op.get_attr("L")
  left_grads, right_grads = gen_monolith_ops.monolith_ffm_of_features_grad(
    grad=grad, left=op.inputs[:num_left], right=op.inputs[num_left:], int_type=op.get_attr("int_type")
  )
  return [*left_grads, *right_grads]


@tf.RegisterGradient("MonolithFfmOfFeaturesGrad")
def _ffm_of_features_grad_grad(op: tf.Operation, *of_grads: tf.Tensor) -> list[tf.Tensor]:
  # As for FFMGrad.
  grad, features, num_left = op.inputs[0], op.inputs[1:], op.get_attr("L")
  (left, right), (of_left, of_right) = ((x[:num_left], x[num_left:]) for x in (features, of_grads))
  settings = {"int_type": op.get_attr("int_type")}
  of_grad = gen_monolith_ops.monolith_ffm_of_features(left=of_left, right=right, **settings)
  of_grad += gen_monolith_ops.monolith_ffm_of_features(left=left, right=of_right, **settings)
  left_grads, right_grads = gen_monolith_ops.monolith_ffm_of_features_grad(
    grad=grad, left=of_left, right=of_right, **settings
  )
  return [of_grad, *left_grads, *right_grads]


def feature_insight(
  input_embedding: tf.Tensor, weight: tf.Tensor, segment_sizes: Sequence[int], aggregate: bool = False
) -> tf.Tensor:
  """Computes what each feature adds to every unit of a dense layer.

  The sum over the features is the layer's product `input_embedding @ weight`.

  >>> x, weight = tf.constant([[1., 2., 3.]]), tf.constant([[1., 0.], [0., 1.], [1., 1.]])
  >>> feature_insight(x, weight, [2, 1]).numpy().tolist()
  [[1.0, 2.0, 3.0, 3.0]]
  >>> feature_insight(x, weight, [2, 1], aggregate=True).numpy().tolist()
  [[5.0, 18.0]]

  Args:
    input_embedding: float32 `[B, S]`, the features' columns side by side.
    weight: float32 `[S, K]`; K must be known when a graph is built.
    segment_sizes: width of each of n features; they add up to S.
    aggregate: return the squared length of each feature's K numbers instead of the numbers.

  Returns:
    `[B, n * K]`, feature after feature, or `[B, n]` with `aggregate`.

  Raises:
    ValueError: `segment_sizes` is empty or, where shapes are known, does not add up to S; or K is not known.
    tf.errors.InvalidArgumentError: the sizes do not fit when the op runs.
  """
  sizes = [int(size) for size in segment_sizes or ()]
  if not sizes:
    raise ValueError(f"feature_insight: segment_sizes is {segment_sizes!r}; give the width of every feature.")
  input_embedding, weight = tf.convert_to_tensor(input_embedding), tf.convert_to_tensor(weight)
  if weight.shape.rank != 2 or weight.shape[1] is None:
    raise ValueError(f"feature_insight: weight is {weight.shape}; it must be a matrix whose width is known.")
  if any(n not in (None, sum(sizes)) for n in (input_embedding.shape[-1], weight.shape[0])):
    raise ValueError(
      f"feature_insight: segment_sizes add up to {sum(sizes)}, but input_embedding is {input_embedding.shape} and "
      f"weight {weight.shape}; the columns of the one and the rows of the other must be that many."
    )
  out = gen_monolith_ops.feature_insight(input=input_embedding, weight=weight, segment_sizes=sizes)
  if not aggregate:
    return out
  by_feature = tf.reshape(tf.square(out), [tf.shape(out)[0], len(sizes), weight.shape[1]])
  return tf.reduce_sum(by_feature, axis=2)


@tf.RegisterGradient("FeatureInsight")
def _feature_insight_grad(op: tf.Operation, grad: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  inputs, weight = op.inputs
  return gen_monolith_ops.feature_insight_grad(
    grad=grad, input=inputs, weight=weight, segment_sizes=op.get_attr("segment_sizes"), K=weight.shape[1]
  )


@tf.RegisterGradient("FeatureInsightGrad")
def _feature_insight_grad_grad(
  op: tf.Operation, of_input: tf.Tensor, of_weight: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  # As for FFM: a product of two factors in each segment.
  grad, inputs, weight = op.inputs
  sizes = op.get_attr("segment_sizes")
  of_grad = gen_monolith_ops.feature_insight(input=of_input, weight=weight, segment_sizes=sizes)
  of_grad += gen_monolith_ops.feature_insight(input=inputs, weight=of_weight, segment_sizes=sizes)
  return of_grad, *gen_monolith_ops.feature_insight_grad(
    grad=grad, input=of_input, weight=of_weight, segment_sizes=sizes, K=op.get_attr("K")
  )


def interact(x: tf.Tensor, x0: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
  """Multiplies all products of a row's numbers x with its numbers x0 by a kernel.

  `y[r, n] = Σ_h Σ_j x[r, h] · x0[r, j] · kernel[h · m + j, n]`: a layer of a compressed interaction network (Lian et
  al., 2018, https://arxiv.org/abs/1803.05170, equation 6) for rows that are an example's embedding dimensions. The
  `H * m` products of a row are made where they are used, so that memory does not grow with them.

  >>> kernel = tf.constant([[1.], [0.], [0.], [10.]])
  >>> interact(tf.constant([[1., 2.]]), tf.constant([[3., 4.]]), kernel).numpy().tolist()
  [[83.0]]

  Args:
    x: float `[rows, H]`. The op computes in float32; for another dtype TensorFlow's own ops do, with all products in
      memory.
    x0: `[rows, m]`, of the same dtype.
    kernel: `[H * m, N]`, of the same dtype.

  Returns:
    `[rows, N]`.

  Raises:
    ValueError, tf.errors.InvalidArgumentError: an argument is no matrix, rows differ in number, or the kernel is not
      H * m high; the former where shapes are known when the graph is built.
  """
  x, x0, kernel = (tf.convert_to_tensor(t) for t in (x, x0, kernel))
  if x.dtype == tf.float32:
    return gen_monolith_ops.monolith_interact(x=x, x0=x0, kernel=kernel)
  products = tf.einsum("rh,rj->rhj", x, x0)
  return tf.matmul(tf.reshape(products, [tf.shape(x)[0], utils.dim_size(x, 1) * utils.dim_size(x0, 1)]), kernel)


@tf.RegisterGradient("MonolithInteract")
def _interact_grad(op: tf.Operation, grad: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  x, x0, kernel = op.inputs
  return gen_monolith_ops.monolith_interact_grad(grad=grad, x=x, x0=x0, kernel=kernel)


@tf.RegisterGradient("MonolithInteractGrad")
def _interact_grad_grad(op: tf.Operation, of_x: tf.Tensor, of_x0: tf.Tensor, of_kernel: tf.Tensor) -> list[tf.Tensor]:
  # The op is linear in each of x, x0 and kernel, so its derivative along their three gradients is the sum of three
  # calls, each with one of the arguments replaced; what was replaced gets no gradient from its call.
  grad, x, x0, kernel = op.inputs
  calls = [(of_x, x0, kernel), (x, of_x0, kernel), (x, x0, of_kernel)]
  of_grad = tf.add_n([gen_monolith_ops.monolith_interact(*call) for call in calls])
  grads = [gen_monolith_ops.monolith_interact_grad(grad, *call) for call in calls]
  return [of_grad, *(tf.add_n([g[i] for c, g in enumerate(grads) if c != i]) for i in range(3))]


def maximum(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
  """Returns the largest of several tensors' elements at each place. Of equals, the first gets the gradient.

  `tf.maximum`, one tensor after the other, has the same values and gradients; here one op makes all gradients.

  >>> maximum([tf.constant([1.0, 5.0]), tf.constant([3.0, 4.0])]).numpy().tolist()
  [3.0, 5.0]

  Args:
    tensors: at least one, of one numeric dtype and one shape, any. The op computes gradients in float32; for another
      dtype TensorFlow's own ops do.

  Returns:
    A tensor like each of them.

  Raises:
    ValueError: there is none, or their shapes differ, where they are known.
    tf.errors.InvalidArgumentError: the shapes differ when the op runs.
  """
  tensors = [tf.convert_to_tensor(t) for t in tensors]
  if not tensors:
    raise ValueError("maximum: no tensors were given; pass at least one.")
  for tensor in tensors:
    if not tensor.shape.is_compatible_with(tensors[0].shape):
      raise ValueError(f"maximum: shapes {tensors[0].shape} and {tensor.shape} differ; pass tensors of one shape.")
  return _maximum(*tensors) if tensors[0].dtype == tf.float32 else functools.reduce(tf.maximum, tensors)


@tf.custom_gradient
def _maximum(*tensors: tf.Tensor) -> Any:
  output = functools.reduce(tf.maximum, tensors)

  def gradient(grad: tf.Tensor) -> list[tf.Tensor]:
    return gen_monolith_ops.monolith_max_pooling_grad(grad=grad, output=output, inputs=tensors)

  return output, gradient


@tf.RegisterGradient("MonolithMaxPoolingGrad")
def _max_pooling_grad_grad(op: tf.Operation, *grads: tf.Tensor) -> list[tf.Tensor | None]:
  # Linear in `grad`, which went to one input at each place: its gradient comes back from there.
  _, output, *inputs = op.inputs
  result = tf.zeros_like(output)
  for value, grad in reversed(list(zip(inputs, grads, strict=True))):
    result = tf.where(value < output, result, grad)
  return [result, *[None] * (1 + len(inputs))]


def scale_columns(x: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
  """Multiplies everything that `scale` has a number for, row by row: `x * scale`, where both gradients are one pass.

  >>> scale_columns(tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([1.0, 10.0])).numpy().tolist()
  [[1.0, 20.0], [3.0, 40.0]]

  Args:
    x: float `[B, ...]`. The op computes gradients in float32; for another dtype TensorFlow's own ops do.
    scale: `[...]`, like x without its first axis, and of its dtype; all sizes known.

  Returns:
    A tensor like x.

  Raises:
    ValueError: `scale` is not like x without its first axis.
  """
  x, scale = tf.convert_to_tensor(x), tf.convert_to_tensor(scale)
  if not scale.shape.is_fully_defined() or not x.shape[1:].is_compatible_with(scale.shape):
    raise ValueError(f"scale_columns: x is {x.shape} and scale {scale.shape}; scale has the shape of a row of x.")
  return _scale_columns(x, scale) if x.dtype == tf.float32 else x * scale


@tf.custom_gradient
def _scale_columns(x: tf.Tensor, scale: tf.Tensor) -> Any:
  width = scale.shape.num_elements()

  def gradient(grad: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    rows = [-1, width] if width else [tf.shape(x)[0], 0]
    of_x, of_scale = gen_monolith_ops.monolith_column_scale_grad(
      tf.reshape(grad, rows), tf.reshape(x, rows), tf.reshape(scale, [width])
    )
    return tf.reshape(of_x, tf.shape(x)), tf.reshape(of_scale, scale.shape)

  return x * scale, gradient


@tf.RegisterGradient("MonolithColumnScaleGrad")
def _column_scale_grad_grad(
  op: tf.Operation, of_x: tf.Tensor, of_scale: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  grad, x, scale = op.inputs
  return of_x * scale + x * of_scale, grad * of_scale, tf.reduce_sum(grad * of_x, axis=0)


def fid_counter(counter: tf.Tensor, counter_threshold: int, step: float = 1.0) -> tf.Tensor:
  """Counts how often a fid was trained, in a slice of its embedding.

  Give the fid a slice of dim 1 that starts at 0, with `SgdOptimizer(1.0)`: the gradient of the result is `-step`,
  whatever the loss, until the counter has reached the threshold, and 0 from then on. So every update adds `step`, and
  the result is the count with the present example included. Since the incoming gradient is ignored, a scaled loss does
  not change the count, but a clipped or averaged gradient does. Counts above 2048 are not exact in half precision:
  use `Fp32Compressor`.

  >>> fid_counter(tf.constant([[1.], [1000.]]), counter_threshold=1000).numpy().tolist()
  [[2.0], [1000.0]]

  Args:
    counter: float32, any shape.
    counter_threshold: where counting ends.
    step: what one update adds.

  Returns:
    `min(counter + step, counter_threshold)`, like `counter`.
  """
  counter = gen_monolith_ops.monolith_fid_counter(counter=counter, step=step, counter_threshold=counter_threshold)
  return tf.minimum(counter + step, tf.cast(counter_threshold, counter.dtype))


@tf.RegisterGradient("MonolithFidCounter")
def _fid_counter_grad(op: tf.Operation, grad: tf.Tensor) -> tf.Tensor:
  del grad  # the count does not depend on the loss
  counter, step = op.inputs[0], op.get_attr("step")
  counting = counter < tf.cast(op.get_attr("counter_threshold"), counter.dtype)
  return tf.where(counting, -step * tf.ones_like(counter), tf.zeros_like(counter))
