# SPDX-License-Identifier: Apache-2.0
"""Ranking losses: published numbers, twins from the published formulas, extremes, and what is refused."""

import functools
import re
import derivatives
import loss_runs
from native_training.losses import ltr_twins as twins
import numpy as np
import pytest

from monolith.native_training.losses import ltr_losses
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf  # isort: skip

_LABELS = np.array([[1, 0, 2], [0, 1, -1]], np.float32)
_LOGITS = np.array([[0.2, 0.5, 0.1], [0.3, -0.4, 0.9]], np.float32)
_ITEM_WEIGHTS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
_LIST_WEIGHTS = np.array([[1], [2]], np.float32)
_KEYS = sorted(v for k, v in vars(ltr_losses.RankingLossKey).items() if not k.startswith("_"))
_NDCG, _REDUCTION = ltr_losses.create_ndcg_lambda_weight, tf.compat.v1.losses.Reduction


def _run(mode, keys, labels=_LABELS, logits=_LOGITS, weights=None, unknown_batch=False, **settings):
  """Value and gradient by the logits."""
  arrays = [np.asarray(labels, np.float32), np.asarray(logits, np.float32)]
  if weights is not None:
    arrays.append(np.asarray(weights, np.float32))
    settings["weights_feature_name"] = "w"
  loss_fn = ltr_losses.make_loss_fn(keys, **settings)
  function = lambda *a: loss_fn(a[0], a[1], {"w": a[2]} if len(a) > 2 else {})  # noqa: E731
  value, (gradient,) = loss_runs.run(mode, function, arrays, [1], unknown_batch)
  return value, gradient


@pytest.mark.parametrize("mode", loss_runs.MODES)
@pytest.mark.parametrize(
  "keys, settings, expected",
  [
    ("pairwise_hinge_loss", {}, 1.725),
    ("pairwise_logistic_loss", {}, 1.131992),
    ("pairwise_soft_zero_one_loss", {}, 0.741246),
    ("softmax_loss", {}, 2.421742),
    ("sigmoid_cross_entropy_loss", {}, 0.776797),
    ("mean_squared_loss", {}, 1.31),
    ("list_mle_loss", {}, 1.618820),
    ("approx_ndcg_loss", {}, -0.615423),
    ("pairwise_logistic_loss", {"lambda_weight": _NDCG()}, 0.558071),
    ("pairwise_logistic_loss", {"lambda_weight": _NDCG(topn=1)}, 0.849226),
    ("pairwise_logistic_loss", {"lambda_weight": _NDCG(smooth_fraction=0.5)}, 0.625859),
    ("softmax_loss", {"lambda_weight": _NDCG()}, 0.714962),
    ("softmax_loss", {"lambda_weight": _NDCG(topn=1)}, 0.792134),
    ("pairwise_hinge_loss", {"lambda_weight": ltr_losses.PrecisionLambdaWeight(1)}, 4.4),
    ("list_mle_loss", {"lambda_weight": ltr_losses.create_p_list_mle_lambda_weight(3)}, 4.002105),
    ("pairwise_logistic_loss", {"weights": _ITEM_WEIGHTS}, 3.520392),
    (["pairwise_hinge_loss", "softmax_loss"], {"loss_weights": [1, 0.5]}, 2.935871),
    ("list_mle_loss", {"weights": _LIST_WEIGHTS}, 2.170413),
    ("approx_ndcg_loss", {"weights": _LIST_WEIGHTS}, -0.930975),
    ("approx_ndcg_loss", {"reduction": _REDUCTION.SUM}, -1.230846),
  ],
  ids=lambda value: re.sub(r"monolith\S+\.(\w+) object at 0x\w+", r"\1", str(value)),
)
def test_published_values(mode, keys, settings, expected):
  value, gradient = _run(mode, keys, **settings)
  np.testing.assert_allclose(value, expected, atol=2e-6)
  assert np.isfinite(gradient).all() and gradient[1, 2] == 0, "the invalid item has no gradient"


# Twins. Scores of a list lie apart, and labels differ where ties are broken by chance.

_WIDE_LABELS = np.array([[2, 0, 1, 3, -1], [-1, 1, -1, 0, 2], [0, 0, 0, -1, -1], [4, 1, 0, 2, 3]], np.float32)
_DISTINCT_LABELS = np.where(_WIDE_LABELS < 0, -1, np.arange(5) / 10 + _WIDE_LABELS).astype(np.float32)
_WIDE_LOGITS = np.random.default_rng(5).permutation(20).reshape(4, 5).astype(np.float32) / 7.3 - 1
_WIDE_ITEM_WEIGHTS = np.random.default_rng(6).uniform(0.2, 2, (4, 5)).astype(np.float32)
_WIDE_LIST_WEIGHTS = np.array([[1], [0.5], [3], [2]], np.float32)

_CASES = {
  "hinge": ("pairwise_hinge_loss", {}, lambda y, s, w: twins.pairwise(twins.hinge, y, s, w)),
  "logistic": ("pairwise_logistic_loss", {}, lambda y, s, w: twins.pairwise(twins.logistic, y, s, w)),
  "zero one": ("pairwise_soft_zero_one_loss", {}, lambda y, s, w: twins.pairwise(twins.soft_zero_one, y, s, w)),
  "logistic ndcg": (
    "pairwise_logistic_loss",
    {"lambda_weight": _NDCG()},
    lambda y, s, w: twins.pairwise(twins.logistic, y, s, w, twins.ndcg_pair_weight),
  ),
  "hinge ndcg top 2": (
    "pairwise_hinge_loss",
    {"lambda_weight": _NDCG(2, 0.3)},
    lambda y, s, w: twins.pairwise(twins.hinge, y, s, w, lambda *a: twins.ndcg_pair_weight(*a, 2, 0.3)),
  ),
  "logistic unscaled": (
    "pairwise_logistic_loss",
    {"lambda_weight": _NDCG(), "extra_args": {"lambda_scale": False}},
    lambda y, s, w: twins.pairwise(twins.logistic, y, s, w, twins.ndcg_pair_weight, scale=False),
  ),
  "identity": (
    "pairwise_logistic_loss",
    {"lambda_weight": ltr_losses.IdentityLambdaWeight()},
    lambda y, s, w: twins.pairwise(twins.logistic, y, s, w, lambda *a: 1.0),
  ),
  "softmax": ("softmax_loss", {}, twins.softmax),
  "softmax ndcg": ("softmax_loss", {"lambda_weight": _NDCG()}, lambda y, s, w: twins.softmax(y, s, w, True)),
  "sigmoid": ("sigmoid_cross_entropy_loss", {}, twins.sigmoid_cross_entropy),
  "squared": ("mean_squared_loss", {}, twins.mean_squared),
  "list mle": ("list_mle_loss", {}, twins.list_mle),
  "p list mle": (
    "list_mle_loss",
    {"lambda_weight": ltr_losses.create_p_list_mle_lambda_weight(5)},
    lambda y, s, w: twins.list_mle(y, s, w, lambda rank: 2.0 ** (5 - rank) - 1),
  ),
  "approx ndcg": ("approx_ndcg_loss", {"extra_args": {"alpha": 3.0}}, lambda y, s, w: twins.approx_ndcg(y, s, w, 3.0)),
}


@pytest.mark.parametrize("mode", loss_runs.MODES)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("case", _CASES)
def test_equals_the_published_formula_and_its_derivative(mode, weighted, case):
  key, settings, twin = _CASES[case]
  per_list = key in ("list_mle_loss", "approx_ndcg_loss")
  labels = _DISTINCT_LABELS if key == "list_mle_loss" else _WIDE_LABELS
  weights = (_WIDE_LIST_WEIGHTS if per_list else _WIDE_ITEM_WEIGHTS) if weighted else None
  value, gradient = _run(mode, key, labels, _WIDE_LOGITS, weights, unknown_batch=True, **settings)
  function = lambda s: twins.reduce_nonzero(*twin(labels, s, 1.0 if weights is None else weights))  # noqa: E731
  np.testing.assert_allclose(value, function(_WIDE_LOGITS.astype(np.float64)), rtol=1e-5)
  (expected,) = derivatives.derive(function, [_WIDE_LOGITS])
  np.testing.assert_allclose(gradient, expected, atol=2e-5)


@pytest.mark.parametrize(
  "reduction, expected",
  [
    (_REDUCTION.SUM, lambda y, w: (y * w).sum()),
    (_REDUCTION.MEAN, lambda y, w: (y * w).sum() / w.sum()),
    (_REDUCTION.SUM_OVER_BATCH_SIZE, lambda y, w: (y * w).sum() / y.size),
    (_REDUCTION.SUM_OVER_NONZERO_WEIGHTS, lambda y, w: (y * w).sum() / np.count_nonzero(w)),
  ],
)
def test_reductions(reduction, expected):
  value, _ = _run("eager", "softmax_loss", _WIDE_LABELS, _WIDE_LOGITS, _WIDE_ITEM_WEIGHTS, reduction=reduction)
  losses, weights = (np.array(a) for a in twins.softmax(_WIDE_LABELS, _WIDE_LOGITS, _WIDE_ITEM_WEIGHTS))
  np.testing.assert_allclose(value, expected(losses, weights), rtol=1e-5)


@pytest.mark.parametrize("reduction", [r for r in _REDUCTION.all() if r != _REDUCTION.NONE])
@pytest.mark.parametrize("lambda_weight", [None, ltr_losses.IdentityLambdaWeight()], ids=["op", "lambda"])
def test_reductions_of_pairs(reduction, lambda_weight):
  """The op reduces as TensorFlow does, and so do pairs with a lambda weight."""
  settings = {"lambda_weight": lambda_weight, "reduction": reduction}
  value, _ = _run("eager", "pairwise_hinge_loss", _WIDE_LABELS, _WIDE_LOGITS, _WIDE_ITEM_WEIGHTS, **settings)
  lists = ltr_losses._sort_and_normalize(_WIDE_LABELS, _WIDE_LOGITS, _WIDE_ITEM_WEIGHTS)
  _, differences, weights = ltr_losses._pairwise_comparison(*lists, lambda_weight)
  scale = 1.0 if lambda_weight is None else 5.0
  wanted = tf.compat.v1.losses.compute_weighted_loss(tf.nn.relu(1 - differences), weights * scale, reduction=reduction)
  np.testing.assert_allclose(value, wanted, rtol=1e-5)


# Extremes.

_NAN = float("nan")
_EXTREMES = {
  "labels equal": ([[1, 1, 1]], [[0.1, 0.2, 0.3]]),
  "labels zero": ([[0, 0, 0]], [[0.1, 0.2, 0.3]]),
  "one item": ([[1]], [[0.3]]),
  "all invalid": ([[-1, -1]], [[0.3, 0.1]]),
  "one list invalid": ([[-1, -1], [1, 0]], [[0.3, 0.1], [0.3, 0.1]]),
  "no items": (np.zeros((2, 0)), np.zeros((2, 0))),
  "no lists": (np.zeros((0, 3)), np.zeros((0, 3))),
  "scores apart": ([[1, 0, 2]], [[200, -200, 0]]),
  "scores huge": ([[1, 0, 2, -1]], [[1e18, -1e18, 5, 3e18]]),
  "invalid is not a number": ([[1, 0, -1]], [[0.1, 0.2, _NAN]]),
  "invalid is infinite": ([[1, 0, -1]], [[0.1, 0.2, float("inf")]]),
}


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("key", _KEYS)
@pytest.mark.parametrize("case", _EXTREMES)
def test_extremes_are_finite(mode, key, case):
  weights = [None]
  if key == "softmax_loss" or key.startswith("pairwise"):
    weights.append(_NDCG(2, 0.5))
  if key == "list_mle_loss":
    weights.append(ltr_losses.create_p_list_mle_lambda_weight(4))
  for lambda_weight in weights:
    value, gradient = _run(mode, key, *_EXTREMES[case], lambda_weight=lambda_weight)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    if case in ("all invalid", "no items", "no lists"):
      assert not gradient.any()


@pytest.mark.parametrize("key", _KEYS)
def test_padding_changes_no_gradient(key):
  """Nor a value, but for ListMLE's constant."""
  padded = np.pad(_DISTINCT_LABELS, ((0, 0), (0, 3)), constant_values=-1), np.pad(_WIDE_LOGITS, ((0, 0), (0, 3)))
  value, gradient = _run("eager", key, _DISTINCT_LABELS, _WIDE_LOGITS)
  padded_value, padded_gradient = _run("eager", key, *padded)
  np.testing.assert_allclose(padded_gradient[:, :5], gradient, atol=1e-6)
  if key != "list_mle_loss":
    np.testing.assert_allclose(padded_value, value, rtol=1e-6)


def test_low_scores_outweigh_invalid_items():
  """Whatever a list's level is, an invalid item has no share in it."""
  for key in ("softmax_loss", "list_mle_loss"):
    value, gradient = _run("eager", key, [[1, 0, -1]], [[-50.0, -90.0, 0.0]])
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_equal_scores_have_a_gradient():
  _, gradient = _run("eager", "pairwise_logistic_loss", [[1, 0]], [[0, 0]])
  np.testing.assert_allclose(gradient, [[-0.5, 0.5]])


@pytest.mark.parametrize("key", _KEYS)
def test_a_batch_of_one_with_weights(key):
  value, _ = _run("graph", key, _LABELS[:1], _LOGITS[:1], [[2.0]])
  plain, _ = _run("graph", key, _LABELS[:1], _LOGITS[:1])
  np.testing.assert_allclose(value, 2 * plain, rtol=1e-6)


def test_float64_and_narrow_dtypes():
  loss_fn = ltr_losses.make_loss_fn(_KEYS, lambda_weight=_NDCG())
  wide = loss_fn(tf.constant(_LABELS, tf.float64), tf.constant(_LOGITS, tf.float64))
  narrow = loss_fn(tf.constant(_LABELS, tf.int32), tf.constant(_LOGITS, tf.bfloat16))
  assert wide.dtype == tf.float64 and narrow.dtype == tf.float32
  np.testing.assert_allclose(narrow, wide, rtol=2e-2)


def test_ties_of_list_mle_follow_the_seed():
  labels, logits = np.ones((1, 6)), np.arange(6.0).reshape(1, 6)

  def values(seed):
    tf.random.set_seed(3)
    return [float(_run("eager", "list_mle_loss", labels, logits, seed=seed)[0]) for _ in range(4)]

  assert values(1) == values(1) and len(set(values(1))) > 1
  assert values(1) != values(2)


# The ops.


@pytest.mark.parametrize("case", _CASES)
def test_float64_is_computed_in_float64(case):
  key, settings, twin = _CASES[case]
  labels, logits = tf.constant(_DISTINCT_LABELS, tf.float64), tf.constant(_WIDE_LOGITS, tf.float64)
  value = ltr_losses.make_loss_fn(key, **settings)(labels, logits)
  wanted = twins.reduce_nonzero(*twin(labels.numpy(), logits.numpy(), 1.0))
  np.testing.assert_allclose(value, wanted, rtol=1e-9)


@pytest.mark.parametrize("key", _KEYS)
def test_losses_are_collected_in_a_graph(key):
  with tf.Graph().as_default():
    loss = ltr_losses.make_loss_fn(key)(_DISTINCT_LABELS, _WIDE_LOGITS)
    (found,) = tf.compat.v1.losses.get_losses()
    with tf.compat.v1.Session() as session:
      np.testing.assert_allclose(*session.run([loss, found]))


@pytest.mark.parametrize("key", _KEYS)
def test_second_derivatives_are_refused(key):
  """There is none, and a wrong number would not be noticed."""
  logits = tf.constant(_WIDE_LOGITS)
  with tf.GradientTape() as outer, tf.GradientTape() as inner:
    outer.watch(logits)
    inner.watch(logits)
    gradient = inner.gradient(ltr_losses.make_loss_fn(key)(_DISTINCT_LABELS, logits), logits)
  with pytest.raises(
    LookupError, match=r"(RankingLossGrad: .* ranking losses|ListMleLossGrad: .* list_mle_loss) are not"
  ):
    outer.gradient(gradient, logits)


@pytest.mark.parametrize("key", _KEYS)
def test_bits_repeat_whatever_the_number_of_threads(key):
  generator = np.random.default_rng(4)
  labels, scores = generator.integers(-1, 4, (900, 12)).astype(np.float32), generator.normal(size=(900, 12))
  results = []
  for threads in (1, 2, 5):
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, use_per_session_threads=True)
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
      tf.compat.v1.set_random_seed(3)
      logits = tf.constant(scores, tf.float32)
      loss = ltr_losses.make_loss_fn(key, seed=1)(labels, logits)
      results.append(session.run([loss, *tf.gradients(loss, logits)]))
  for value, gradient in results[1:]:
    assert value == results[0][0]
    np.testing.assert_array_equal(gradient, results[0][1])


@pytest.mark.parametrize("key", ["pairwise_hinge_loss", "softmax_loss", "mean_squared_loss"])
@pytest.mark.parametrize("weights", [2.0, [[2.0]], [1.0, 2, 3], [[1.0, 2, 3]], [[1.0], [2]], _ITEM_WEIGHTS], ids=str)
def test_item_weights_broadcast(key, weights):
  value, gradient = _run("eager", key, weights=weights)
  full, full_gradient = _run("eager", key, weights=np.broadcast_to(np.asarray(weights, np.float32), (2, 3)))
  np.testing.assert_allclose(value, full, rtol=1e-6)
  np.testing.assert_allclose(gradient, full_gradient, rtol=1e-6)


@pytest.mark.parametrize("key, value", [("mean_squared_loss", [[1.0], [2.0]]), ("approx_ndcg_loss", [1.0, 2.0])])
def test_weights_of_unknown_rank(key, value):
  wanted, _ = _run("eager", key, weights=np.reshape(value, [2, 1]))
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    weights = tf.compat.v1.placeholder(tf.float32)
    loss = ltr_losses.make_loss_fn(key, weights_feature_name="w")(_LABELS, _LOGITS, {"w": weights})
    np.testing.assert_allclose(session.run(loss, {weights: value}), wanted, rtol=1e-6)


def test_shapes_that_do_not_fit_the_ops():
  loss = functools.partial(gen_monolith_ops.ranking_loss, loss_name="softmax_loss", reduction=_REDUCTION.SUM)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels has shape \[3\]; pass a matrix"):
    loss(_LABELS[0], _LOGITS, [[1.0]])
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"logits has shape \[1,3\]; it must be \[2,3\]"):
    loss(_LABELS, _LOGITS[:1], [[1.0]])
  for weights in (1.0, [[1.0, 2.0]], [[1.0]] * 3):
    with pytest.raises(tf.errors.InvalidArgumentError, match="weights has shape .* 1 or all of their lists and items"):
      loss(_LABELS, _LOGITS, weights)
  draws = functools.partial(gen_monolith_ops.list_mle_loss, _LABELS, _LOGITS, [[1.0]], reduction=_REDUCTION.SUM)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"ties has shape \[2,1\]; it must be \[2,3\]"):
    draws(ties=_LOGITS[:, :1], rank_weights=[[1.0]])
  with pytest.raises(tf.errors.InvalidArgumentError, match="rank_weights has shape .* 1 or all"):
    draws(ties=_LOGITS, rank_weights=[[1.0, 2.0]])
  gradient = functools.partial(gen_monolith_ops.ranking_loss_grad, loss_name="softmax_loss")
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"divisor has shape \[1\]; pass a scalar"):
    gradient(_LABELS, _LOGITS, [[1.0]], divisor=[1.0], grad=1.0)


def test_shapes_of_the_ops_are_inferred():
  with tf.Graph().as_default():
    lists, weights = tf.compat.v1.placeholder(tf.float32, [None, 3]), tf.ones([1, 1])
    loss, divisor = gen_monolith_ops.ranking_loss(lists, lists, weights, "softmax_loss", _REDUCTION.SUM)
    assert loss.shape == divisor.shape == ()
    gradient = gen_monolith_ops.ranking_loss_grad(lists, lists, weights, 1.0, 1.0, "softmax_loss")
    assert gradient.shape.as_list() == [None, 3]
    gradient = gen_monolith_ops.list_mle_loss_grad(lists, lists, weights, lists, weights, 1.0, 1.0)
    assert gradient.shape.as_list() == [None, 3]
    with pytest.raises(ValueError, match="must be rank 2"):
      gen_monolith_ops.ranking_loss(lists[0], lists, weights, "softmax_loss", _REDUCTION.SUM)
    with pytest.raises(ValueError, match="give it 1 or all of their lists and items"):
      gen_monolith_ops.ranking_loss(lists, lists, tf.ones([1, 2]), "softmax_loss", _REDUCTION.SUM)
    with pytest.raises(ValueError, match="must be equal"):
      gen_monolith_ops.list_mle_loss(lists, lists, weights, tf.ones([2, 4]), weights, _REDUCTION.SUM)
    with pytest.raises(ValueError, match="must be rank 0"):
      gen_monolith_ops.list_mle_loss_grad(lists, lists, weights, lists, weights, [1.0], 1.0)


# Parts.


def test_approx_ranks_and_inverse_max_dcg():
  np.testing.assert_allclose(
    ltr_losses.approx_ranks(_LOGITS), [[2.221516, 1.065412, 2.713072], [1.998438, 2.999087, 1.002475]], atol=1e-5
  )
  np.testing.assert_allclose(ltr_losses.inverse_max_dcg(np.maximum(_LABELS, 0)), [[0.190901], [0.693147]], atol=1e-6)
  np.testing.assert_allclose(ltr_losses.inverse_max_dcg(_LABELS * 0), [[0], [0]])
  top = ltr_losses.inverse_max_dcg(np.maximum(_LABELS, 0), topn=1)
  np.testing.assert_allclose(top, [[np.log(2) / 3], [np.log(2)]], rtol=1e-6)


def test_get_batch_idx_size():
  logits, labels, mask, first = ltr_losses.get_batch_idx_size(
    tf.constant([0.1, 0.2, 0.3, 0.4]), tf.constant([1.0, 0, 1, 1]), tf.constant([7, 9, 7, 7]), "x"
  )
  np.testing.assert_allclose(logits, [[0.1, 0.3, 0.4], [0.2, 0, 0]])
  np.testing.assert_allclose(labels, [[0.999999] * 3, [-1e-6] * 3], rtol=1e-6)
  np.testing.assert_array_equal(mask, [[1, 1, 1, 0], [1, 0, 0, 0], [0] * 4, [0] * 4])
  np.testing.assert_array_equal(first, [0, 1])
  assert first.dtype == tf.int64


def test_get_batch_idx_size_of_random_ids_equals_a_loop():
  generator = np.random.default_rng(1)
  ids, logits = generator.integers(0, 9, 50), generator.normal(size=50).astype(np.float32)
  found, _, mask, first = ltr_losses.get_batch_idx_size(logits, np.ones(50, np.float32), ids)
  order = list(dict.fromkeys(ids.tolist()))
  assert first.numpy().tolist() == [ids.tolist().index(i) for i in order]
  for row, one in enumerate(order):
    wanted = logits[ids == one]
    np.testing.assert_array_equal(found[row, : len(wanted)], wanted)
    assert not found[row, len(wanted) :].numpy().any()
    assert mask[row].numpy().tolist() == [1.0] * len(wanted) + [0.0] * (50 - len(wanted))


def test_get_batch_idx_size_of_no_rows():
  logits, labels, mask, first = ltr_losses.get_batch_idx_size(np.zeros(0, np.float32), [], np.zeros(0, np.int64))
  assert logits.shape == labels.shape == mask.shape == (0, 0) and first.shape == (0,)


def test_sort_by_scores():
  scores = tf.constant([[1.0, 3, 2], [1, 2, 3]])
  positions, names = tf.constant([[1, 2, 3], [4, 5, 6]]), tf.constant([["a", "b", "c"], ["d", "e", "f"]])
  found = ltr_losses.sort_by_scores(scores, [positions, names])
  assert found[0].numpy().tolist() == [[2, 3, 1], [6, 5, 4]]
  assert found[1].numpy().tolist() == [[b"b", b"c", b"a"], [b"f", b"e", b"d"]]
  assert ltr_losses.sort_by_scores(scores, [positions], topn=2)[0].numpy().tolist() == [[2, 3], [6, 5]]
  assert ltr_losses.sort_by_scores(scores, [positions], topn=9)[0].shape == (2, 3)
  assert ltr_losses.sort_by_scores(scores * 0, [positions])[0].numpy().tolist() == [[1, 2, 3], [4, 5, 6]]


def test_organize_valid_indices():
  is_valid = [[True, False, False], [False, True, True]]
  kept = ltr_losses.organize_valid_indices(is_valid, shuffle=False)
  assert kept.numpy().tolist() == [[[0, 0], [0, 1], [0, 2]], [[1, 1], [1, 2], [1, 0]]]
  tf.random.set_seed(1)
  orders = {str(ltr_losses.shuffle_valid_indices([[True] * 4 + [False]], seed=4).numpy().tolist()) for _ in range(20)}
  assert len(orders) > 3 and all(o.endswith("[0, 4]]]") for o in orders)


def test_reshape_first_ndims():
  dense = tf.reshape(tf.range(24), [2, 3, 4])
  assert ltr_losses.reshape_first_ndims(dense, 2, [6]).shape == (6, 4)
  assert ltr_losses.reshape_first_ndims(dense, 1, [1, 2]).shape == (1, 2, 3, 4)
  sparse = ltr_losses.reshape_first_ndims(tf.sparse.from_dense(dense), 2, [6])
  np.testing.assert_array_equal(tf.sparse.to_dense(sparse), tf.reshape(dense, [6, 4]))
  with pytest.raises(ValueError, match=r"the tensor is \(2, 3, 4\); it needs at least 4 axes"):
    ltr_losses.reshape_first_ndims(dense, 4, [24])
  with tf.Graph().as_default():
    unknown = tf.compat.v1.placeholder(tf.float32, [None, 3, 4])
    assert ltr_losses.reshape_first_ndims(unknown, 2, [-1]).shape.as_list() == [None, 4]


def test_label_valid_fn():
  assert ltr_losses.label_valid_fn([1.0, 0.0, -1.0]).numpy().tolist() == [True, True, False]
  assert ltr_losses.label_valid_fn([[1, 0, -1]]).numpy().tolist() == [[True, True, False]]


def test_lambda_weights():
  labels = np.array([[2.0, 1.0, 0.0, -1.0]], np.float32)
  mrr = ltr_losses.create_reciprocal_rank_lambda_weight()
  np.testing.assert_allclose(mrr.individual_weights(labels), [[0.8, 0.2, 0, 0]], rtol=1e-6)
  precision = ltr_losses.PrecisionLambdaWeight(2).pair_weights(labels)
  assert precision.numpy().tolist() == [[[0, 0, 1, 0], [0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]]
  p_list_mle = ltr_losses.create_p_list_mle_lambda_weight(4)
  np.testing.assert_allclose(p_list_mle.individual_weights(labels), [[7, 3, 1, 0]])
  assert p_list_mle.pair_weights(labels) is labels
  assert ltr_losses.IdentityLambdaWeight().pair_weights(labels) == 1.0
  np.testing.assert_allclose(ltr_losses.IdentityLambdaWeight().individual_weights(labels), labels)
  ndcg = _NDCG(smooth_fraction=1.0).pair_weights(labels).numpy()
  discount, gain = 1 / np.log(np.arange(2, 6)), np.array([3, 1, 0, 0])
  change = np.abs(gain[:, None] - gain) * np.abs(discount[:, None] - discount) / (gain * discount).sum()
  change[3] = change[:, 3] = 0
  np.testing.assert_allclose(ndcg[0], change, rtol=1e-5)


def test_a_subclass_may_weigh_pairs_of_its_own():
  class Doubled(ltr_losses.DCGLambdaWeight):
    def pair_weights(self, sorted_labels):
      return 2.0 * super().pair_weights(sorted_labels)

  plain, _ = _run("eager", "pairwise_logistic_loss", lambda_weight=ltr_losses.DCGLambdaWeight())
  doubled, _ = _run("eager", "pairwise_logistic_loss", lambda_weight=Doubled())
  np.testing.assert_allclose(doubled, 2 * plain, rtol=1e-6)


# Arguments.


@pytest.mark.parametrize("reduction", ["mean", _REDUCTION.NONE])
def test_reduction_must_reduce(reduction):
  with pytest.raises(ValueError, match=f"Invalid reduction: {reduction}"):
    ltr_losses.make_loss_fn("softmax_loss", reduction=reduction)


def test_losses_and_weights_must_match():
  for keys in ([], "", None):
    with pytest.raises(ValueError, match="loss_keys is empty"):
      ltr_losses.make_loss_fn(keys)
  with pytest.raises(ValueError, match="loss_weights has 2 numbers for 1 loss_keys"):
    ltr_losses.make_loss_fn(["softmax_loss"], [1.0, 2.0])
  # A single name has one weight, not one a letter.
  value, _ = _run("eager", "softmax_loss", loss_weights=[2.0])
  np.testing.assert_allclose(value, 2 * 2.421742, rtol=1e-5)


def test_wrong_calls_of_a_loss():
  with pytest.raises(ValueError, match="Invalid loss_key: bpr; give one of approx_ndcg_loss"):
    ltr_losses.make_loss_fn("bpr")(_LABELS, _LOGITS, {})
  with pytest.raises(ValueError, match="softmax_loss does not take alpha; take it out of extra_args"):
    ltr_losses.make_loss_fn("softmax_loss", extra_args={"alpha": 1.0})(_LABELS, _LOGITS, {})
  with pytest.raises(ValueError, match=r"weights_feature_name is 'w', but the features are \['x'\]"):
    ltr_losses.make_loss_fn("softmax_loss", weights_feature_name="w")(_LABELS, _LOGITS, {"x": 1})
  with pytest.raises(ValueError, match=r"logits is \(3,\); it must be \[batch, list\]"):
    ltr_losses.make_loss_fn("softmax_loss")(_LABELS[0], _LOGITS[0], {})
  with pytest.raises(ValueError, match=r"labels are \(1, 3\) but logits \(2, 3\)"):
    ltr_losses.make_loss_fn("softmax_loss")(_LABELS[:1], _LOGITS, {})
  with pytest.raises(ValueError, match=r"list_mle_loss: weights are \(2, 3\); pass one number a list"):
    _run("eager", "list_mle_loss", weights=_ITEM_WEIGHTS)


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: ltr_losses.DCGLambdaWeight(smooth_fraction=1.5), "smooth_fraction is 1.5; it must be in"),
    (lambda: ltr_losses.DCGLambdaWeight(topn=0), "topn is 0; it must be > 0"),
    (lambda: ltr_losses.PrecisionLambdaWeight(-1), "topn is -1; it must be > 0"),
    (lambda: ltr_losses.create_p_list_mle_lambda_weight(129), r"list_size is 129; it must be in \[1, 128\]"),
    (lambda: ltr_losses.sort_by_scores([1.0], [[1.0]]), r"scores is \(1,\); it must be \[batch, list\]"),
    (lambda: ltr_losses.sort_by_scores([[1.0]], tf.ones([1, 1])), "features_list is a .*; pass a list of tensors"),
    (lambda: ltr_losses.organize_valid_indices([True]), "is_valid is"),
  ],
)
def test_wrong_arguments(make, message):
  with pytest.raises(ValueError, match=message):
    make()
