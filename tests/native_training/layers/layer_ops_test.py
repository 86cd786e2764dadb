# SPDX-License-Identifier: Apache-2.0
"""FFM, feature insight, maximum and the fid counter: values, gradients, shapes and what they refuse."""

import functools

from monolith.core import keras_versions
from monolith.native_training.layers import layer_ops
from monolith.native_training.runtime.ops import gen_monolith_ops

import doctests
import numpy as np
import pytest
import tensorflow as tf

RANDOM = np.random.default_rng(0)


def _random(*shape):
  return RANDOM.standard_normal(shape).astype(np.float32)


def _ffm_twin(left, right, dim, int_type):
  """FFM on arrays."""
  left = left.reshape(len(left), -1, 1, dim)
  right = right.reshape(len(right), 1, -1, dim)
  products = left * right
  return (products.sum(-1) if int_type == "dot" else products).reshape(len(left), -1)


def _insight_twin(x, weight, sizes, aggregate=False):
  ends = np.cumsum(sizes)
  parts = [x[:, e - s : e] @ weight[e - s : e] for s, e in zip(sizes, ends, strict=True)]
  return np.stack([(p**2).sum(-1) for p in parts], 1) if aggregate else np.concatenate(parts, 1)


def _loss(outputs):
  return (outputs.ravel() * np.arange(1, outputs.size + 1)).sum()


def _run(function, arrays, how):
  """Outputs and gradients of `_loss` of a function of tensors, as arrays."""

  def compute(tensors):
    outputs = function(*tensors)
    flat = tf.reshape(outputs, [-1])
    return outputs, tf.reduce_sum(flat * tf.cast(tf.range(1, tf.size(flat) + 1), flat.dtype))

  if how == "graph":
    with keras_versions.keep_eager_layers(), tf.Graph().as_default(), tf.compat.v1.Session() as session:
      feeds = [tf.compat.v1.placeholder(tf.float32, [None, a.shape[1]]) for a in arrays]
      outputs, loss = compute(feeds)
      return session.run([outputs, tf.gradients(loss, feeds)], dict(zip(feeds, arrays, strict=True)))
  tensors = [tf.constant(a) for a in arrays]

  def differentiate(*tensors):
    with tf.GradientTape() as tape:
      tape.watch(tensors)
      outputs, loss = compute(tensors)
    return outputs, tape.gradient(loss, tensors)

  return tf.nest.map_structure(
    lambda t: t.numpy(), (tf.function(differentiate) if how == "function" else differentiate)(*tensors)
  )


HOW = pytest.mark.parametrize("how", ["eager", "function", "graph"])
TYPES = pytest.mark.parametrize("int_type, width", [("multiply", 480), ("dot", 120)])


# FFM.


@HOW
@TYPES
def test_ffm(how, int_type, width):
  left, right = _random(8, 40), _random(8, 48)
  outputs, (left_grad, right_grad) = _run(lambda a, b: layer_ops.ffm(a, b, 4, int_type), [left, right], how)
  assert outputs.shape == (8, width) and left_grad.shape == (8, 40) and right_grad.shape == (8, 48)
  np.testing.assert_allclose(outputs, _ffm_twin(left, right, 4, int_type), rtol=1e-5, atol=1e-6)


@HOW
@pytest.mark.parametrize("int_type", ["multiply", "dot"])
def test_ffm_gradient_of_the_twin(how, int_type, derive):
  left, right = _random(2, 6), _random(2, 9)
  _, found = _run(lambda a, b: layer_ops.ffm(a, b, 3, int_type), [left, right], how)
  wanted = derive(lambda a, b: _loss(_ffm_twin(a, b, 3, int_type)), [left, right])
  for f, w in zip(found, wanted, strict=True):
    np.testing.assert_allclose(f, w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("int_type", ["multiply", "dot"])
def test_ffm_gradient_by_differences(int_type):
  theory, numbers = tf.test.compute_gradient(
    lambda a, b: layer_ops.ffm(a, b, 5, int_type), [tf.constant(_random(2, 10)), tf.constant(_random(2, 15))]
  )
  for t, n in zip(theory, numbers, strict=True):
    np.testing.assert_allclose(t, n, atol=1e-2)


def test_ffm_multiplies_for_any_other_type():
  left, right = _random(2, 4), _random(2, 6)
  np.testing.assert_array_equal(layer_ops.ffm(left, right, 2, "Dot"), layer_ops.ffm(left, right, 2))


@pytest.mark.parametrize("int_type", ["multiply", "dot"])
def test_ffm_of_large_batches_is_that_of_their_rows(int_type):
  left, right = _random(999, 32), _random(999, 48)
  outputs, (left_grad, right_grad) = _run(lambda a, b: layer_ops.ffm(a, b, 16, int_type), [left, right], "eager")
  np.testing.assert_array_equal(outputs[700:703], layer_ops.ffm(left[700:703], right[700:703], 16, int_type))
  grads = np.arange(1, outputs.size + 1, dtype=np.float32).reshape(outputs.shape)
  for b in (0, 517, 998):
    one = gen_monolith_ops.ffm_grad(grads[b : b + 1], left[b : b + 1], right[b : b + 1], dim_size=16, int_type=int_type)
    np.testing.assert_array_equal(left_grad[b], one[0][0])
    np.testing.assert_array_equal(right_grad[b], one[1][0])


@HOW
@TYPES
def test_ffm_of_no_examples(how, int_type, width):
  arrays = [np.zeros((0, 40), np.float32), np.zeros((0, 48), np.float32)]
  outputs, grads = _run(lambda a, b: layer_ops.ffm(a, b, 4, int_type), arrays, how)
  assert outputs.shape == (0, width) and [g.shape for g in grads] == [(0, 40), (0, 48)]


def test_ffm_infers_shapes():
  with tf.Graph().as_default():
    left = tf.compat.v1.placeholder(tf.float32, [None, 40])
    right = tf.compat.v1.placeholder(tf.float32, [7, 48])
    assert layer_ops.ffm(left, right, 4).shape == (7, 480)
    assert layer_ops.ffm(left, right, 4, "dot").shape == (7, 120)
    anything = tf.compat.v1.placeholder(tf.float32)
    assert layer_ops.ffm(anything, anything, 4).shape.as_list() == [None, None]
    grads = gen_monolith_ops.ffm_grad(tf.compat.v1.placeholder(tf.float32), left, right, dim_size=4, int_type="dot")
    assert [g.shape.as_list() for g in grads] == [[None, 40], [7, 48]]


@pytest.mark.parametrize(
  "left, right, message",
  [
    ((2, 3, 4), (2, 4), r"FFM: left has shape \[2,3,4\]; pass a matrix"),
    ((2, 4), (4,), r"FFM: right has shape \[4\]; pass a matrix"),
    ((2, 5), (2, 4), r"left has shape \[2,5\]; its width must be a multiple of dim_size, which is 4"),
    ((2, 4), (2, 6), r"right has shape \[2,6\]; its width must be a multiple of dim_size, which is 4"),
    ((2, 4), (3, 4), "left has 2 rows and right 3; pass the same examples"),
  ],
)
def test_ffm_refuses(left, right, message):
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    layer_ops.ffm(np.zeros(left, np.float32), np.zeros(right, np.float32), 4)
  with tf.Graph().as_default(), pytest.raises(ValueError, match="rank 2|divisible|must be equal"):
    layer_ops.ffm(tf.zeros(left), tf.zeros(right), 4)


@pytest.mark.parametrize("dtype, atol", [(tf.float64, 1e-12), (tf.bfloat16, 0.05)])
@pytest.mark.parametrize("int_type", ["multiply", "dot"])
def test_ffm_of_other_dtypes(dtype, atol, int_type):
  left, right = np.random.default_rng(1).uniform(-1, 1, (2, 3, 8))
  found = layer_ops.ffm(tf.cast(left, dtype), tf.cast(right[:, :4], dtype), 4, int_type)
  assert found.dtype == dtype
  np.testing.assert_allclose(tf.cast(found, tf.float64), _ffm_twin(left, right[:, :4], 4, int_type), atol=atol)
  empty = layer_ops.ffm(tf.zeros([0, 8], dtype), tf.zeros([0, 4], dtype), 4, int_type)
  assert empty.shape == (0, found.shape[1])


@pytest.mark.parametrize("left, right", [((2, 5), (2, 4)), ((2, 4), (2, 6)), ((1, 4), (3, 4)), ((3, 4), (1, 4))])
def test_ffm_of_other_dtypes_refuses_too(left, right):
  with pytest.raises(tf.errors.InvalidArgumentError):
    layer_ops.ffm(tf.zeros(left, tf.float64), tf.zeros(right, tf.float64), 4)


def test_ffm_refuses_a_width_of_zero():
  with pytest.raises(tf.errors.InvalidArgumentError, match="'dim_size' of 0 must be at least minimum 1"):
    layer_ops.ffm(np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32), 0)


@pytest.mark.parametrize("int_type, width", [("multiply", 16), ("dot", 4)])
def test_ffm_grad_refuses_other_widths(int_type, width):
  sides = np.zeros((2, 8), np.float32), np.zeros((2, 8), np.float32)
  for shape in [(2, width + 1), (3, width), (2, width, 1)]:
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"FFMGrad: grad has shape .* it must be \[2,{width}\]"):
      gen_monolith_ops.ffm_grad(np.zeros(shape, np.float32), *sides, dim_size=4, int_type=int_type)
    with tf.Graph().as_default(), pytest.raises(ValueError, match="must be equal"):
      gen_monolith_ops.ffm_grad(tf.zeros(shape), *sides, dim_size=4, int_type=int_type)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"right has shape \[2,9\]; its width must be a multiple"):
    gen_monolith_ops.ffm_grad(
      np.zeros((2, width), np.float32), sides[0], np.zeros((2, 9), np.float32), dim_size=4, int_type=int_type
    )


# FFM of features that lie apart: `ffm` of the joined sides, by another op.


def _features(batch, dim, num_left=3, num_right=2):
  return [_random(batch, dim) for _ in range(num_left + num_right)]


def _crossed(int_type, num_left=3):
  return lambda *features: layer_ops.ffm_of_features(features[:num_left], features[num_left:], int_type)


def _joined(int_type, dim, num_left=3):
  def twin(*features):
    left, right = (np.concatenate(side, 1) for side in (features[:num_left], features[num_left:]))
    return _ffm_twin(left, right, dim, int_type)

  return twin


@HOW
@pytest.mark.parametrize("int_type", ["multiply", "dot"])
@pytest.mark.parametrize("batch", [1, 15, 16, 70])
def test_ffm_of_features(how, int_type, batch):
  features = _features(batch, 7)
  outputs, grads = _run(_crossed(int_type), features, how)
  np.testing.assert_allclose(outputs, _joined(int_type, 7)(*features), rtol=1e-5, atol=1e-6)
  sides = [np.concatenate(side, 1) for side in (features[:3], features[3:])]
  _, joined = _run(lambda a, b: layer_ops.ffm(a, b, 7, int_type), sides, how)
  for found, wanted in zip(grads, [*np.split(joined[0], 3, 1), *np.split(joined[1], 2, 1)], strict=True):
    np.testing.assert_array_equal(found, wanted)


@HOW
@pytest.mark.parametrize("int_type", ["multiply", "dot"])
def test_ffm_of_features_gradient_of_the_twin(how, int_type, derive):
  features = _features(2, 3)
  _, found = _run(_crossed(int_type), features, how)
  wanted = derive(lambda *arrays: _loss(_joined(int_type, 3)(*arrays)), features)
  for f, w in zip(found, wanted, strict=True):
    np.testing.assert_allclose(f, w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("int_type", ["multiply", "dot"])
def test_ffm_of_features_second_derivative(int_type):
  features = [tf.constant(x) for x in _features(2, 3)]

  def slopes(*features):
    with tf.GradientTape() as tape:
      tape.watch(features)
      loss = tf.reduce_sum(_crossed(int_type)(*features) ** 2)
    return tf.concat(tape.gradient(loss, features), 1)

  for t, n in zip(*tf.test.compute_gradient(slopes, features), strict=True):
    np.testing.assert_allclose(t, n, atol=2e-2)


@HOW
@pytest.mark.parametrize("int_type, width", [("multiply", 24), ("dot", 6)])
def test_ffm_of_no_examples_of_features(how, int_type, width):
  outputs, grads = _run(_crossed(int_type), [np.zeros((0, 4), np.float32)] * 5, how)
  assert outputs.shape == (0, width) and [g.shape for g in grads] == [(0, 4)] * 5


def test_ffm_of_features_infers_shapes():
  with tf.Graph().as_default():
    unknown, wide, tall = (tf.compat.v1.placeholder(tf.float32, s) for s in (None, [None, 4], [7, None]))
    assert layer_ops.ffm_of_features([unknown, wide], [tall]).shape == (7, 8)
    assert layer_ops.ffm_of_features([unknown, tall], [tall], "dot").shape == (7, 2)
    assert layer_ops.ffm_of_features([unknown], [unknown]).shape.as_list() == [None, None]
    grads = gen_monolith_ops.monolith_ffm_of_features_grad(unknown, [unknown, wide], [tall], int_type="dot")
    assert [g.shape.as_list() for g in (*grads[0], *grads[1])] == [[7, 4]] * 3


@pytest.mark.parametrize("left, right, message", [
  ([(2, 3, 4)], [(2, 4)], r"the first feature has shape \[2,3,4\]; pass a matrix"),
  ([(2, 4)], [(2, 4), (2, 5)], r"feature 2 of left and right has shape \[2,5\], but feature 0 \[2,4\]; all must"),
  ([(2, 4), (1, 4)], [(2, 4)], r"feature 1 of left and right has shape \[1,4\], but feature 0 \[2,4\]; all must"),
])  # fmt: skip
def test_ffm_of_features_refuses(left, right, message):
  sides = [[tf.zeros(shape) for shape in side] for side in (left, right)]
  with pytest.raises(tf.errors.InvalidArgumentError, match=f"MonolithFfmOfFeatures: {message}"):
    layer_ops.ffm_of_features(*sides)
  with tf.Graph().as_default(), pytest.raises(ValueError, match="rank|must be equal"):
    layer_ops.ffm_of_features(*[[tf.zeros(shape) for shape in side] for side in (left, right)])


@pytest.mark.parametrize("left, right", [([], [tf.zeros([2, 4])]), ([tf.zeros([2, 4])], [])])
def test_ffm_of_features_refuses_an_empty_side(left, right):
  with pytest.raises(ValueError, match=f"{len(left)} features on the left and {len(right)} on the right; 0 cross"):
    layer_ops.ffm_of_features(left, right)


@pytest.mark.parametrize("int_type, width", [("multiply", 24), ("dot", 6)])
def test_ffm_of_features_grad_refuses_other_widths(int_type, width):
  features = [np.zeros((2, 4), np.float32)] * 5
  for shape in [(2, width + 1), (3, width), (2, width, 1)]:
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"FeaturesGrad: grad has shape .* must be \[2,{width}\]"):
      gen_monolith_ops.monolith_ffm_of_features_grad(tf.zeros(shape), features[:3], features[3:], int_type=int_type)


@pytest.mark.parametrize("dtype, atol", [(tf.float64, 1e-12), (tf.bfloat16, 0.05)])
@pytest.mark.parametrize("int_type", ["multiply", "dot"])
def test_ffm_of_features_of_other_dtypes(dtype, atol, int_type):
  features = _features(2, 4)
  found = _crossed(int_type)(*(tf.cast(x, dtype) for x in features))
  assert found.dtype == dtype
  np.testing.assert_allclose(
    tf.cast(found, tf.float64), _joined(int_type, 4)(*(x.astype(np.float64) for x in features)), atol=atol
  )


# Feature insight.

_SIZES = [3, 2, 4]
_ROWS = np.arange(1, 28).reshape(3, 9) / 10 + np.array([[0], [0.1], [0.2]])
_WEIGHT = np.array([[1, 2], [3, 4], [5, 4], [3, 2], [1, 9], [8, 7], [6, 5], [6, 7], [8, 9]]) / 10


@pytest.mark.parametrize(
  "aggregate, first, last",
  [
    (False, [0.22, 0.22, 0.17, 0.53, 2.10, 2.14], [2.02, 2.22, 0.97, 2.73, 7.70, 7.74]),
    (True, [0.0968, 0.3098, 8.9896], [9.0088, 8.3938, 119.1976]),
  ],
)
def test_feature_insight_published_values(aggregate, first, last):
  found = layer_ops.feature_insight(
    tf.constant(_ROWS, tf.float32), tf.constant(_WEIGHT, tf.float32), _SIZES, aggregate=aggregate
  )
  np.testing.assert_allclose(found[0], first, rtol=1e-5)
  np.testing.assert_allclose(found[2], last, rtol=1e-5)


@HOW
@pytest.mark.parametrize("aggregate", [False, True])
def test_feature_insight_and_its_gradient(how, aggregate, derive):
  x, weight = _random(5, 9), _random(9, 2)

  def call(a, b):
    return layer_ops.feature_insight(a, b, _SIZES, aggregate)

  outputs, found = _run(call, [x, weight], how)
  np.testing.assert_allclose(outputs, _insight_twin(x, weight, _SIZES, aggregate), rtol=1e-4, atol=1e-6)
  wanted = derive(lambda a, b: _loss(_insight_twin(a, b, _SIZES, aggregate)), [x, weight])
  for f, w in zip(found, wanted, strict=True):
    np.testing.assert_allclose(f, w, rtol=1e-3, atol=1e-3)


def test_feature_insight_gradient_by_differences():
  theory, numbers = tf.test.compute_gradient(
    lambda a, b: layer_ops.feature_insight(a, b, [1, 4]), [tf.constant(_random(3, 5)), tf.constant(_random(5, 2))]
  )
  for t, n in zip(theory, numbers, strict=True):
    np.testing.assert_allclose(t, n, atol=1e-2)


def test_feature_insight_of_large_batches(derive):
  x, weight, sizes = _random(2000, 24), _random(24, 20), [16, 8]
  outputs, (x_grad, weight_grad) = _run(lambda a, b: layer_ops.feature_insight(a, b, sizes), [x, weight], "eager")
  np.testing.assert_allclose(outputs, _insight_twin(x, weight, sizes), rtol=1e-3, atol=1e-4)
  scale = np.arange(1, outputs.size + 1, dtype=np.float64).reshape(outputs.shape)
  by_feature = [scale[:, :20], scale[:, 20:]]
  np.testing.assert_allclose(x_grad[:, :16], by_feature[0] @ weight[:16].T, rtol=1e-3, atol=1)
  np.testing.assert_allclose(weight_grad[16:], x[:, 16:].T @ by_feature[1], rtol=1e-3, atol=1e2)


def test_feature_insight_has_the_same_bits_for_any_number_of_threads():
  x, weight = _random(3000, 24), _random(24, 20)
  grads = _random(3000, 40)

  def run(threads):
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads)
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
      return session.run(gen_monolith_ops.feature_insight_grad(grads, x, weight, segment_sizes=[16, 8], K=20))

  for one, many in zip(run(1), run(4), strict=True):
    np.testing.assert_array_equal(one, many)


@HOW
def test_feature_insight_of_no_examples(how):
  arrays = [np.zeros((0, 9), np.float32), _random(9, 2)]
  outputs, (x_grad, weight_grad) = _run(lambda a, b: layer_ops.feature_insight(a, b, _SIZES), arrays, how)
  assert outputs.shape == (0, 6) and x_grad.shape == (0, 9)
  np.testing.assert_array_equal(weight_grad, np.zeros((9, 2)))
  outputs, _ = _run(lambda a, b: layer_ops.feature_insight(a, b, _SIZES, aggregate=True), arrays, how)
  assert outputs.shape == (0, 3)


def test_feature_insight_infers_shapes():
  with tf.Graph().as_default():
    x = tf.compat.v1.placeholder(tf.float32, [None, 9])
    weight = tf.zeros([9, 2])
    assert layer_ops.feature_insight(x, weight, _SIZES).shape.as_list() == [None, 6]
    assert layer_ops.feature_insight(x, weight, _SIZES, aggregate=True).shape.as_list() == [None, 3]


def test_feature_insight_refuses():
  x, weight = np.zeros((2, 9), np.float32), np.zeros((9, 2), np.float32)
  with pytest.raises(ValueError, match=r"segment_sizes is \[\]; give the width of every feature"):
    layer_ops.feature_insight(x, weight, [])
  for sizes, a, b in [([3, 5], x, weight), (_SIZES, x[:, 1:], weight), (_SIZES, x, weight[1:])]:
    with pytest.raises(ValueError, match="segment_sizes add up to [89], but input_embedding is .* and weight"):
      layer_ops.feature_insight(a, b, sizes)
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be a matrix whose width is known"):
    layer_ops.feature_insight(tf.constant(x), tf.compat.v1.placeholder(tf.float32, [9, None]), _SIZES)


def test_feature_insight_kernels_refuse():
  x, weight, grad = np.zeros((2, 9), np.float32), np.zeros((9, 2), np.float32), np.zeros((2, 6), np.float32)
  insight, insight_grad = gen_monolith_ops.feature_insight, gen_monolith_ops.feature_insight_grad
  error = tf.errors.InvalidArgumentError
  with pytest.raises(error, match="segment_sizes add up to 8, but input has 9 columns and weight 9 rows"):
    insight(x, weight, segment_sizes=[3, 5])
  with pytest.raises(error, match=r"segment_sizes are \[10, -1\]; no width is negative"):
    insight(x, weight, segment_sizes=[10, -1])
  with pytest.raises(error, match=r"FeatureInsight: input has shape \[9\]; pass a matrix"):
    insight(x[0], weight, segment_sizes=_SIZES)
  with pytest.raises(error, match=r"FeatureInsightGrad: weight has shape \[9,2\]; it must be \[9,3\]"):
    insight_grad(grad, x, weight, segment_sizes=_SIZES, K=3)
  with pytest.raises(error, match=r"FeatureInsightGrad: grad has shape \[2,5\]; it must be \[2,6\]"):
    insight_grad(grad[:, 1:], x, weight, segment_sizes=_SIZES, K=2)
  with tf.Graph().as_default():
    with pytest.raises(ValueError, match="must be 8 but is 9"):
      insight(x, weight, segment_sizes=[3, 5])
    with pytest.raises(ValueError, match="segment_sizes has -1; no width is negative"):
      insight(x, weight, segment_sizes=[10, -1])
    with pytest.raises(ValueError, match="must be equal"):
      insight_grad(grad[:, 1:], x, weight, segment_sizes=_SIZES, K=2)


# Interaction.


def _interact_twin(x, x0, kernel):
  return np.einsum("rh,rj->rhj", x, x0).reshape(len(x), -1) @ kernel


@HOW
@pytest.mark.parametrize("rows, num_x, num_x0, units", [(3, 4, 2, 5), (17, 2, 3, 1)])
def test_interact_and_its_gradient(how, rows, num_x, num_x0, units, derive):
  arrays = [_random(rows, num_x), _random(rows, num_x0), _random(num_x * num_x0, units)]
  outputs, found = _run(layer_ops.interact, arrays, how)
  np.testing.assert_allclose(outputs, _interact_twin(*arrays), rtol=1e-4, atol=1e-5)
  wanted = derive(lambda *a: _loss(_interact_twin(*a)), arrays)
  for f, w in zip(found, wanted, strict=True):
    np.testing.assert_allclose(f, w, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype, atol", [(tf.float64, 1e-12), (tf.bfloat16, 0.1)])
def test_interact_of_other_dtypes(dtype, atol):
  x, x0, kernel = (np.random.default_rng(1).uniform(-1, 1, shape) for shape in ((5, 3), (5, 2), (6, 4)))
  found = layer_ops.interact(*(tf.cast(a, dtype) for a in (x, x0, kernel)))
  assert found.dtype == dtype
  np.testing.assert_allclose(tf.cast(found, tf.float64), _interact_twin(x, x0, kernel), atol=atol)
  with pytest.raises(tf.errors.InvalidArgumentError):
    layer_ops.interact(tf.cast(x, dtype), tf.cast(x0[:1], dtype), tf.cast(kernel, dtype))


def test_interact_gradient_by_differences():
  arrays = [tf.constant(_random(2, 3)), tf.constant(_random(2, 2)), tf.constant(_random(6, 2))]
  for t, n in zip(*tf.test.compute_gradient(layer_ops.interact, arrays), strict=True):
    np.testing.assert_allclose(t, n, atol=2e-2)


def test_interact_with_itself_adds_both_gradients(derive):
  x, kernel = _random(5, 3), _random(9, 4)
  _, (found, _) = _run(lambda x, kernel: layer_ops.interact(x, x, kernel), [x, kernel], "eager")
  (wanted,) = derive(lambda x: _loss(_interact_twin(x, x, kernel)), [x])
  np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_interact_has_the_same_bits_for_any_number_of_threads():
  arrays = [_random(3000, 6), _random(3000, 7), _random(3000, 5), _random(35, 6)]

  def run(threads):
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads)
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
      return session.run([layer_ops.interact(*arrays[1:]), *gen_monolith_ops.monolith_interact_grad(*arrays)])

  for one, many in zip(run(1), run(4), strict=True):
    np.testing.assert_array_equal(one, many)


@HOW
def test_interact_of_no_rows(how):
  outputs, grads = _run(layer_ops.interact, [_random(0, 3), _random(0, 2), _random(6, 4)], how)
  assert outputs.shape == (0, 4) and [g.shape for g in grads] == [(0, 3), (0, 2), (6, 4)]
  np.testing.assert_array_equal(grads[2], np.zeros((6, 4)))


def test_interact_infers_shapes():
  with tf.Graph().as_default():
    x, x0 = tf.compat.v1.placeholder(tf.float32, [None, 3]), tf.compat.v1.placeholder(tf.float32, [7, 2])
    assert layer_ops.interact(x, x0, tf.zeros([6, 4])).shape == (7, 4)


@pytest.mark.parametrize("x, x0, kernel, message", [
  ((2, 3, 1), (2, 2), (6, 4), r"x has shape \[2,3,1\]; pass a matrix"),
  ((2, 3), (2,), (6, 4), r"x0 has shape \[2\]; pass a matrix"),
  ((2, 3), (2, 2), (6,), r"kernel has shape \[6\]; pass a matrix"),
  ((2, 3), (3, 2), (6, 4), r"x0 has shape \[3,2\]; it must be \[2,2\]"),
  ((2, 3), (2, 2), (5, 4), r"kernel has shape \[5,4\]; it must be \[6,4\]"),
])  # fmt: skip
def test_interact_refuses(x, x0, kernel, message):
  with pytest.raises(tf.errors.InvalidArgumentError, match=f"MonolithInteract: {message}"):
    layer_ops.interact(*(np.zeros(shape, np.float32) for shape in (x, x0, kernel)))
  with tf.Graph().as_default(), pytest.raises(ValueError, match="rank 2|must be equal"):
    layer_ops.interact(*(tf.zeros(shape) for shape in (x, x0, kernel)))
  with pytest.raises(tf.errors.InvalidArgumentError, match=f"MonolithInteractGrad: {message}"):
    gen_monolith_ops.monolith_interact_grad(*(np.zeros(shape, np.float32) for shape in ((2, 4), x, x0, kernel)))


def test_interact_grad_refuses_other_gradients():
  arrays = [np.zeros(shape, np.float32) for shape in ((2, 3), (2, 2), (6, 4))]
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"grad has shape \[2,5\]; it must be \[2,4\]"):
    gen_monolith_ops.monolith_interact_grad(np.zeros((2, 5), np.float32), *arrays)
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be equal"):
    gen_monolith_ops.monolith_interact_grad(tf.zeros([2, 5]), *arrays)


# The maximum.


def _maximum(*tensors):
  return layer_ops.maximum(tensors)


def _chain(*tensors):
  return functools.reduce(tf.maximum, tensors)


def _arrays_with_ties(count):
  return [RANDOM.integers(0, 4, (5, 7)).astype(np.float32) for _ in range(count)]


@HOW
@pytest.mark.parametrize("count", [1, 2, 6])
def test_maximum_is_that_of_a_chain(how, count):
  arrays = _arrays_with_ties(count)
  (outputs, found), (wanted_outputs, wanted) = (_run(f, arrays, how) for f in (_maximum, _chain))
  np.testing.assert_array_equal(outputs, wanted_outputs)
  np.testing.assert_array_equal(found, wanted)


def test_maximum_of_large_tensors_is_that_of_a_chain():
  arrays = [RANDOM.standard_normal((300, 50)).astype(np.float32) for _ in range(3)]
  for found, wanted in zip(_run(_maximum, arrays, "eager")[1], _run(_chain, arrays, "eager")[1], strict=True):
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", [tf.float64, tf.bfloat16])
def test_maximum_of_other_dtypes(dtype):
  tensors = [tf.cast(a, dtype) for a in _arrays_with_ties(3)]
  with tf.GradientTape() as tape:
    tape.watch(tensors)
    output = layer_ops.maximum(tensors)
  assert output.dtype == dtype
  gradients = tape.gradient(output, tensors)
  np.testing.assert_array_equal(tf.cast(tf.add_n(gradients), tf.float32), np.ones((5, 7)))


def test_maximum_has_a_second_gradient():
  arrays = [tf.constant(a) for a in _arrays_with_ties(3)]

  def second(function):
    with tf.GradientTape() as outer:
      outer.watch(arrays)
      with tf.GradientTape() as inner:
        inner.watch(arrays)
        output = tf.reduce_sum(function(*arrays) ** 3)
      gradients = inner.gradient(output, arrays)
    return outer.gradient(gradients, arrays)

  for found, wanted in zip(second(_maximum), second(_chain), strict=True):
    np.testing.assert_array_equal(found, wanted)


def test_maximum_refuses():
  with pytest.raises(ValueError, match="no tensors were given; pass at least one"):
    layer_ops.maximum([])
  with pytest.raises(ValueError, match=r"shapes \(2, 3\) and \(1, 3\) differ; pass tensors of one shape"):
    layer_ops.maximum([tf.zeros([2, 3]), tf.zeros([1, 3])])
  x, y = tf.zeros([2, 3]), tf.zeros([1, 3])
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"grad has shape \[2,3\], but input 3 \[1,3\]; all must be"):
    gen_monolith_ops.monolith_max_pooling_grad(grad=x, output=x, inputs=[x, y])
  with tf.Graph().as_default():
    with pytest.raises(ValueError, match="must be equal"):
      gen_monolith_ops.monolith_max_pooling_grad(grad=x.numpy(), output=x.numpy(), inputs=[x.numpy(), y.numpy()])
    unknown = tf.compat.v1.placeholder(tf.float32, [None, None])
    grads = gen_monolith_ops.monolith_max_pooling_grad(grad=unknown, output=np.zeros((2, 3)), inputs=[unknown] * 2)
    assert [g.shape for g in grads] == [(2, 3)] * 2


# Scaled columns.


@HOW
@pytest.mark.parametrize("rows", [0, 1, 300])
def test_scaled_columns_and_their_gradient(how, rows):
  x, scale = _random(rows, 6), _random(1, 6)

  def call(a, b):
    return layer_ops.scale_columns(tf.reshape(a, [-1, 2, 3]), tf.reshape(b, [2, 3]))

  outputs, (x_grad, scale_grad) = _run(call, [x, scale], how)
  np.testing.assert_array_equal(outputs.reshape(rows, 6), x * scale)
  seeds = np.arange(1, 6 * rows + 1, dtype=np.float64).reshape(rows, 6)
  np.testing.assert_allclose(x_grad, seeds * scale, rtol=1e-6)
  np.testing.assert_allclose(scale_grad, (seeds * x).sum(0, keepdims=True), rtol=1e-4, atol=1e-2)


def test_scaled_columns_gradient_by_differences():
  arrays = [tf.constant(_random(3, 2, 2)), tf.constant(_random(2, 2))]
  for t, n in zip(*tf.test.compute_gradient(layer_ops.scale_columns, arrays), strict=True):
    np.testing.assert_allclose(t, n, atol=1e-2)


def test_scaled_columns_have_the_same_bits_for_any_number_of_threads():
  arrays = [_random(3000, 61), _random(3000, 61), _random(61)]

  def run(threads):
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads)
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
      return session.run(gen_monolith_ops.monolith_column_scale_grad(*arrays))

  for one, many in zip(run(1), run(4), strict=True):
    np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("dtype", [tf.float64, tf.bfloat16])
def test_scaled_columns_of_other_dtypes(dtype):
  found = layer_ops.scale_columns(tf.ones([2, 3], dtype), tf.constant([1.0, 2.0, 4.0], dtype))
  assert found.dtype == dtype
  np.testing.assert_array_equal(tf.cast(found, tf.float32), [[1, 2, 4]] * 2)


def test_scaled_columns_refuse():
  for x, scale in [((2, 3), (2,)), ((2, 3), (2, 3)), ((2, 3, 4), (4,))]:
    with pytest.raises(ValueError, match=r"scale_columns: x is .* and scale .*; scale has the shape of a row of x"):
      layer_ops.scale_columns(tf.ones(x), tf.ones(scale))
  grad_op, error = gen_monolith_ops.monolith_column_scale_grad, tf.errors.InvalidArgumentError
  with pytest.raises(error, match=r"MonolithColumnScaleGrad: grad has shape \[2,4\]; it must be \[2,3\]"):
    grad_op(_random(2, 4), _random(2, 3), _random(3))
  with pytest.raises(error, match=r"scale has shape \[4\]; it must be \[3\], a number a column"):
    grad_op(_random(2, 3), _random(2, 3), _random(4))
  with tf.Graph().as_default():
    with pytest.raises(ValueError, match="must be equal"):
      grad_op(_random(2, 3), _random(2, 3), _random(4))
    x = tf.compat.v1.placeholder(tf.float32, [None, 3])
    assert [g.shape.as_list() for g in grad_op(x, x, _random(3))] == [[None, 3], [3]]


# The counter.


@HOW
@pytest.mark.parametrize(
  "counter, step, count, gradient", [(1.0, 1.0, 2.0, -1.0), (1.0, 0.01, 1.01, -0.01), (1000.0, 1.0, 1000.0, 0.0)]
)
def test_fid_counter(how, counter, step, count, gradient):
  outputs, (found,) = _run(lambda c: layer_ops.fid_counter(c, 1000, step), [np.full((2, 1), counter, np.float32)], how)
  np.testing.assert_allclose(outputs, np.full((2, 1), count), rtol=1e-6)
  np.testing.assert_allclose(found, np.full((2, 1), gradient), rtol=1e-6)


def test_fid_counter_ends_at_the_threshold():
  counter = tf.Variable([[0.0], [2.0]])
  optimizer = tf.keras.optimizers.legacy.SGD(1.0)
  for _ in range(5):
    with tf.GradientTape() as tape:
      loss = 100 * tf.reduce_sum(layer_ops.fid_counter(counter, 4))
    optimizer.apply_gradients([(tape.gradient(loss, counter), counter)])
  np.testing.assert_array_equal(counter, [[4], [4]])


def test_examples():
  doctests.run_examples(layer_ops)
