# SPDX-License-Identifier: Apache-2.0
"""Distribution ops: numbers, gradients, errors, in graphs and eagerly."""

from monolith.native_training import distribution_ops

import numpy as np
import pytest
import tensorflow as tf

Error = tf.errors.InvalidArgumentError


def _ragged(rows):
  return tf.ragged.constant(rows, tf.int64, ragged_rank=1)


def _offsets(rows):
  return tf.ragged.constant(rows, tf.int64, ragged_rank=2)


def _i64(values):
  return tf.constant(values, tf.int64)


def _plain(value):
  """A ragged tensor as nested lists, anything else as an array."""
  return value.to_list() if hasattr(value, "to_list") else np.asarray(value)


@pytest.fixture(params=["eager", "graph", "function"])
def run(request):
  """Runs a function's ops the given way and returns NumPy values."""

  def run_it(fn):
    if request.param == "graph":
      with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
        return tf.nest.map_structure(_plain, sess.run(fn()))
    return tf.nest.map_structure(_plain, fn() if request.param == "eager" else tf.function(fn)())

  return run_it


def _grad(fn, variable, out_grad=None):
  """The gradient of fn(variable), by the tape or by tf.gradients."""
  if tf.executing_eagerly():
    with tf.GradientTape() as tape:
      tape.watch(variable)
      out = fn(variable)
    return tape.gradient(out, variable, output_gradients=out_grad)
  return tf.gradients(fn(variable), variable, grad_ys=out_grad)[0]


# ---- split ----


def test_split_by_indices(run):
  ids = [0, 1, 2, 2, 3]
  out = run(lambda: distribution_ops.split_by_indices(_i64(ids) % 3, _i64(ids), 3))
  assert [list(part) for part in out] == [[0, 3], [1], [2, 2]]


def test_split_by_indices_of_nothing_and_of_matrices(run):
  empty, rows = run(
    lambda: (
      distribution_ops.split_by_indices(_i64([]), _i64([]), 1),
      distribution_ops.split_by_indices(_i64([1, 0, 1]), tf.reshape(tf.range(6.0), [3, 2]), 3),
    )
  )
  assert list(empty[0]) == []
  np.testing.assert_array_equal(rows[0], [[2, 3]])
  np.testing.assert_array_equal(rows[1], [[0, 1], [4, 5]])
  assert rows[2].shape == (0, 2)


def test_split_by_indices_gradient(run):
  def fn():
    tensor = tf.reshape(tf.range(6.0), [3, 2])

    def split(t):
      return distribution_ops.split_by_indices(_i64([0, 1, 0]), t, 3)

    return _grad(split, tensor), _grad(lambda t: [x * x for x in split(t)], tensor)

  ones, twice = run(fn)
  np.testing.assert_array_equal(ones, np.ones([3, 2]))
  np.testing.assert_array_equal(twice, 2 * np.arange(6.0).reshape(3, 2))


@pytest.mark.parametrize(
  "indices, rows, message",
  [
    ([0, 3], 2, r"indices\[1\] is 3 but must lie in \[0, 2\); it is compared with num_splits"),
    ([-1, 0], 2, r"indices\[0\] is -1"),
    ([0, 1], 3, "input has shape|Dimensions must be equal"),
  ],
)
def test_split_by_indices_errors(indices, rows, message):
  with pytest.raises((Error, ValueError), match=message):
    distribution_ops.split_by_indices(_i64(indices), tf.zeros([rows, 1]), 2)


def test_ragged_split_by_indices(run):
  num = [[], [], [4, 3, 2], [1], [], []]
  values, positions = run(lambda: distribution_ops.ragged_split_by_indices(_i64([0, 1, 0, 1]), _ragged(num), 2))
  assert values == [[[], [], [4, 2], [], [], []], [[], [], [3], [1], [], []]]
  assert positions == [[[], [], [0, 2], [], [], []], [[], [], [1], [3], [], []]]


def test_ragged_split_by_indices_errors():
  ops = distribution_ops.gen_distribution_ops
  with pytest.raises(Error, match="num_split ends with 3 but there are 2 values"):
    ops.monolith_ragged_split_by_indices(_i64([0, 0]), _i64([5, 6]), _i64([0, 3]), num_splits=1)
  with pytest.raises(Error, match="num_split falls from 2 to 1"):
    ops.monolith_ragged_split_by_indices(_i64([0, 0]), _i64([5, 6]), _i64([0, 2, 1, 2]), num_splits=1)
  with pytest.raises(Error, match="give one index a row|Dimensions must be equal"):
    ops.monolith_ragged_split_by_indices(_i64([0]), _i64([5, 6]), _i64([0, 2]), num_splits=1)


def test_normalize_merged_split(run):
  out = run(lambda: distribution_ops.normalize_merged_split(_i64([0, 2, 5, 5, 9, 0, 0, 3, 4]), tf.constant([5, 4])))
  assert list(out) == [0, 2, 5, 5, 9, 9, 12, 13]


@pytest.mark.parametrize(
  "sizes, message",
  [
    ([5], "adds up to 5 but row_split has 9"),
    ([5, 5], r"row_split_size\[1\] is 5 with 4"),
    ([0, 9], r"row_split_size\[0\] is 0"),
    ([6, 3], "falls from 9 to 0"),
  ],
)
def test_normalize_merged_split_errors(sizes, message):
  with pytest.raises(Error, match=message):
    distribution_ops.normalize_merged_split(_i64([0, 2, 5, 5, 9, 0, 0, 3, 4]), tf.constant(sizes))


# ---- unique, fill, finalize ----

KEY = [[], [0, 1, 2, 1, 0], [0, 1, 0], []]
DIMS = [1, 2, 3, 4]


def test_unique_key_with_value_and_offset(run):
  def fn():
    unique = distribution_ops.unique_key_with_value_and_offset(_ragged(KEY), DIMS, False)
    return unique.unique_key, unique.value_offset

  unique, offset = run(fn)
  assert unique == [[], [0, 1, 2], [0, 1], []]
  assert offset == [[], [[0, 8], [2, 6], [4]], [[10, 16], [13]], []]


def test_unique_of_random_keys_agrees_with_numpy():
  rng = np.random.RandomState(1)
  rows = [rng.randint(-(2**62), 2**62, 50)[rng.randint(0, 50, n)].tolist() for n in (400, 0, 77)]
  unique = distribution_ops.unique_key_with_value_and_offset(_ragged(rows), [3, 1, 5], False)
  for row, keys in zip(rows, unique.unique_key.to_list(), strict=True):
    _, first = np.unique(row, return_index=True)
    assert keys == [row[i] for i in sorted(first)]
  base = 0
  for row, keys, places, dim in zip(
    rows, unique.unique_key.to_list(), unique.value_offset.to_list(), [3, 1, 5], strict=True
  ):
    for key, own in zip(keys, places, strict=True):
      assert own == [base + i * dim for i, other in enumerate(row) if other == key]
    base += len(row) * dim


@pytest.mark.parametrize(
  "dims, message", [([1, 2], "dims holds 2 widths but key has 4 rows"), ([1, 0, 1, 1], r"dims\[1\] is 0")]
)
def test_unique_errors(dims, message):
  with pytest.raises(Error, match=message):
    distribution_ops.unique_key_with_value_and_offset(_ragged(KEY), dims)


def _fill(key, dims, pos, value):
  unique = distribution_ops.unique_key_with_value_and_offset(_ragged(key), dims)
  handles = [
    distribution_ops.fill_with_offset_map(_ragged(p), v, unique.value_offset, unique.value_buffer, dims)
    for p, v in zip(pos, value, strict=True)
  ]
  return distribution_ops.finalize_shared_tensor(handles, tf.float32, [None])


def test_fill_with_offset_map(run):
  first, second = run(
    lambda: (
      _fill(KEY, DIMS, [[[], [0, 1, 2], [3, 4], []]], [tf.range(12.0)]),
      _fill([[0, 1, 0], [0]], [2, 3], [[[0, 1], [2]]], [tf.range(7.0)]),
    )
  )
  np.testing.assert_array_equal(first, [0, 1, 2, 3, 4, 5, 2, 3, 0, 1, 6, 7, 8, 9, 10, 11, 6, 7, 8])
  np.testing.assert_array_equal(second, [0, 1, 2, 3, 0, 1, 4, 5, 6])


def test_fill_from_two_shards_shares_the_buffer(run):
  out = run(
    lambda: _fill(
      KEY,
      DIMS,
      [[[], [0, 2], [4], []], [[], [1], [3], []]],
      [tf.constant([0.0, 1, 4, 5, 9, 10, 11]), tf.constant([2.0, 3, 6, 7, 8])],
    )
  )
  np.testing.assert_array_equal(out, [0, 1, 2, 3, 4, 5, 2, 3, 0, 1, 6, 7, 8, 9, 10, 11, 6, 7, 8])


def test_a_key_that_nobody_fills_reads_as_zeros(run):
  out = run(lambda: _fill([[7, 8]], [2], [[[1]]], [tf.constant([1.0, 2.0])]))
  np.testing.assert_array_equal(out, [0, 0, 1, 2])


def test_fill_with_offset_map_gradient(run):
  def fn():
    unique = distribution_ops.unique_key_with_value_and_offset(_ragged(KEY), DIMS, False)
    return distribution_ops.fill_with_offset_map_gradient(
      _ragged([[], [0, 1, 2], [3, 4], []]), tf.range(19.0), unique.value_offset, DIMS
    )

  np.testing.assert_array_equal(run(fn), [8, 10, 8, 10, 4, 5, 26, 28, 30, 13, 14, 15])


def test_gradient_runs_back_through_buffer_to_every_shard(run):
  def fn():
    values = [tf.constant([0.0, 1, 4, 5, 9, 10, 11]), tf.constant([2.0, 3, 6, 7, 8])]

    def fill(v):
      return _fill(KEY, DIMS, [[[], [0, 2], [4], []], [[], [1], [3], []]], v)

    return (
      _grad(fill, values, tf.range(19.0))
      if tf.executing_eagerly()
      else tf.gradients(fill(values), values, grad_ys=tf.range(19.0))
    )

  first, second = run(fn)
  np.testing.assert_array_equal(first, [8, 10, 4, 5, 13, 14, 15])
  np.testing.assert_array_equal(second, [8, 10, 26, 28, 30])


def test_buffer_outlives_no_step_and_takes_another_shape():
  with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
    value = tf.compat.v1.placeholder(tf.float32, [None])
    unique = distribution_ops.unique_key_with_value_and_offset(_ragged([[3, 3]]), [2])
    handle = distribution_ops.fill_with_offset_map(_ragged([[0]]), value, unique.value_offset, unique.value_buffer, [2])
    out = distribution_ops.finalize_shared_tensor([handle], tf.float32, [None, 2])
    assert out.shape.as_list() == [None, 2]
    first = sess.run(out, {value: [1, 2]})
    second = sess.run(out, {value: [3, 4]})
  np.testing.assert_array_equal(first, [[1, 2], [1, 2]])
  np.testing.assert_array_equal(second, [[3, 4], [3, 4]])


def test_fill_errors():
  with pytest.raises(Error, match="value holds 10 floats but the rows of pos and dims need 12"):
    _fill(KEY, DIMS, [[[], [0, 1, 2], [3, 4], []]], [tf.range(10.0)])
  with pytest.raises(Error, match=r"pos\[1\] is 5 but must lie in \[0, 5\)"):
    _fill(KEY, DIMS, [[[], [0, 5], [], []]], [tf.range(4.0)])
  with pytest.raises(Error, match="dims holds 4 widths but pos has 1 rows"):
    _fill(KEY, DIMS, [[[0]]], [tf.range(2.0)])
  with pytest.raises(Error, match="does not fit there into a buffer of 1"):
    offset = distribution_ops.unique_key_with_value_and_offset(_ragged([[1]]), [3]).value_offset
    small = distribution_ops.unique_key_with_value_and_offset(_ragged([[1]]), [1])
    distribution_ops.fill_with_offset_map(_ragged([[0]]), tf.range(3.0), offset, small.value_buffer, [3])
  with pytest.raises(Error, match="holds no buffer; create it with"):
    unique = distribution_ops.unique_key_with_value_and_offset(_ragged([[1]]), [1], False)
    distribution_ops.fill_with_offset_map(_ragged([[0]]), tf.range(1.0), unique.value_offset, unique.value_buffer, [1])


def test_finalize_errors():
  one, other = (distribution_ops.unique_key_with_value_and_offset(_ragged([[1]]), [3]) for _ in range(2))
  with pytest.raises(Error, match="handle 1 is of another buffer"):
    distribution_ops.finalize_shared_tensor([one.value_buffer, other.value_buffer], tf.float32, [3])
  with pytest.raises(Error, match=r"the buffer holds 3 values, which shape \[2\] does not fit"):
    distribution_ops.finalize_shared_tensor([one.value_buffer], tf.float32, [2])


# ---- map ids to rows ----


def test_map_id_to_embedding(run):
  out = run(
    lambda: distribution_ops.map_id_to_embedding(
      [_i64([1]), _i64([2])], [tf.constant([[1.0, 1.0]]), tf.constant([[2.0, 2.0]])], _i64([[1], [2]])
    )
  )
  np.testing.assert_array_equal(out, [[[1, 1]], [[2, 2]]])


@pytest.mark.parametrize("threads", [True, False])
def test_map_id_to_embedding_gradient(run, threads):
  def fn():
    embeddings = [tf.constant([[1.0, 1.0]]), tf.constant([[2.0, 2.0]])]

    def mapped(e):
      return 5.0 - distribution_ops.map_id_to_embedding(
        [_i64([1]), _i64([2])], e, _i64([1, 1, 2]), use_multi_threads=threads
      )

    return _grad(mapped, embeddings) if tf.executing_eagerly() else tf.gradients(mapped(embeddings), embeddings)

  first, second = run(fn)
  np.testing.assert_array_equal(first, [[-2, -2]])
  np.testing.assert_array_equal(second, [[-1, -1]])


def test_map_id_to_embedding_errors():
  rows = tf.zeros([1, 2])
  with pytest.raises(Error, match="id 7 of input is in none of the 2 id lists"):
    distribution_ops.map_id_to_embedding([_i64([1]), _i64([2])], [rows, rows], _i64([1, 7]))
  with pytest.raises(ValueError, match="1 id lists but 2 embeddings"):
    distribution_ops.map_id_to_embedding([_i64([1])], [rows, rows], _i64([1]))
  with pytest.raises(Error, match=r"embeddings\[0\] has shape \[1,2\] but must have \[2,2\]"):
    distribution_ops.map_id_to_embedding([_i64([1, 3])], [rows], _i64([1]))
  with pytest.raises(Error, match="id 9 of input"):
    distribution_ops.map_id_to_embedding_gradient_back_prop([_i64([1])], _i64([9]), rows)


# ---- pooling ----


def _rows(*values):
  return tf.constant([[float(v)] for v in values])


def _index(rows):
  return tf.reshape(_i64(rows), [-1, 1])


def test_reduce(run):
  out = run(
    lambda: (
      distribution_ops.reduce_sum(_index([0, 0, 1]), _rows(1, 2, 4), _i64([2])),
      distribution_ops.reduce_mean(_index([0, 0, 1]), _rows(4, 2, 1), _i64([2])),
      distribution_ops.reduce_sqrtn(_index([0, 0, 1]), _rows(3, 4, 4), _i64([2])),
    )
  )
  np.testing.assert_allclose(out[0], [[3], [4]])
  np.testing.assert_allclose(out[1], [[3], [1]])
  np.testing.assert_allclose(out[2], [[5], [4]])


def test_reduce_of_an_empty_row_is_zero(run):
  for fn in (distribution_ops.reduce_sum, distribution_ops.reduce_mean, distribution_ops.reduce_sqrtn):
    out = run(lambda fn=fn: fn(_index([2]), tf.ones([1, 2]), _i64([3])))
    np.testing.assert_array_equal(out, [[0, 0], [0, 0], [1, 1]])


def test_reduce_gradients(run):
  def fn():
    mean = _grad(lambda v: 5 - 2 * distribution_ops.reduce_mean(_index([0, 0]), v, _i64([1])), _rows(1, 2))
    total = _grad(lambda v: 5 - distribution_ops.reduce_sum(_index([0, 0]), v, _i64([1])), _rows(1, 2))

    def norm(v):
      return 5 - distribution_ops.reduce_sqrtn(_index([0, 0]), v, _i64([1]))

    return (mean, total, _grad(norm, tf.constant([[3.0, 4.0], [4.0, 3.0]])), _grad(norm, tf.zeros([2, 2])))

  mean, total, norm, zero = run(fn)
  np.testing.assert_allclose(mean, [[-1], [-1]])
  np.testing.assert_allclose(total, [[-1], [-1]])
  np.testing.assert_allclose(norm, [[-0.6, -0.8], [-0.8, -0.6]])
  np.testing.assert_array_equal(zero, np.zeros([2, 2]))


def test_reduce_mean_gradient_with_more_examples_than_columns():
  with tf.GradientTape() as tape:
    values = tf.Variable(tf.ones([4, 1]))
    out = distribution_ops.reduce_mean(_index([8, 8, 3, 0]), values, _i64([9]))
  np.testing.assert_allclose(tape.gradient(out, values), [[0.5], [0.5], [1], [1]])


def test_reduce_errors():
  with pytest.raises(Error, match=r"id_indices\[1\] is 2 but must lie in \[0, 2\)"):
    distribution_ops.reduce_sum(_index([0, 2]), _rows(1, 2), _i64([2]))
  with pytest.raises((Error, ValueError), match="give one an id|Dimensions must be equal"):
    distribution_ops.reduce_mean(_index([0]), _rows(1, 2), _i64([2]))


def test_fused_reduce_sum_and_split(run):
  values = [[1.0, 1, 1], [2, 2, 1], [4, 4, 2]]
  split = distribution_ops.fused_reduce_sum_and_split
  a, b, c = run(
    lambda: (
      split(_i64([0, 0, 1]), tf.constant(values), _i64(2), [2, 1]),
      split(_i64([0, 0, 1]), tf.constant(values), _i64(2), [1, 2]),
      split(_i64([0, 0, 2]), tf.constant(values), _i64(4), [1, 2]),
    )
  )
  np.testing.assert_array_equal(a[0], [[3, 3], [4, 4]])
  np.testing.assert_array_equal(a[1], [[2], [2]])
  np.testing.assert_array_equal(b[0], [[3], [4]])
  np.testing.assert_array_equal(b[1], [[3, 2], [4, 2]])
  np.testing.assert_array_equal(c[0], [[3], [0], [4], [0]])
  np.testing.assert_array_equal(c[1], [[3, 2], [0, 0], [4, 2], [0, 0]])


def test_fused_reduce_sum_and_split_gradient(run):
  def fn():
    def split(v):
      return distribution_ops.fused_reduce_sum_and_split(_i64([0, 0, 2]), v, _i64(4), [1, 2])

    values = tf.ones([3, 3])

    def weighted(v):
      return [split(v)[0] * [[1.0], [2.0], [3.0], [4.0]], split(v)[1]]

    return _grad(split, values), _grad(weighted, values)

  ones, weighted = run(fn)
  np.testing.assert_array_equal(ones, np.ones([3, 3]))
  np.testing.assert_array_equal(weighted, [[1, 1, 1], [1, 1, 1], [3, 1, 1]])


def test_fused_reduce_sum_and_split_errors():
  with pytest.raises(Error, match="id_values has width 3 but split_dims add up to 2"):
    distribution_ops.fused_reduce_sum_and_split(_i64([0]), tf.ones([1, 3]), _i64(1), [1, 1])


def test_static_shapes():
  with tf.Graph().as_default():
    out = distribution_ops.reduce_sum(_index([0, 0, 1]), _rows(1, 2, 4), _i64([2]))
    assert out.shape.as_list() == [2, 1]
    a, b = distribution_ops.fused_reduce_sum_and_split(
      _i64([0]), tf.compat.v1.placeholder(tf.float32, [None, 3]), _i64(5), [1, 2]
    )
    assert (a.shape.as_list(), b.shape.as_list()) == ([5, 1], [5, 2])
    mapped = distribution_ops.map_id_to_embedding(
      [_i64([1])], [tf.zeros([1, 8])], tf.compat.v1.placeholder(tf.int64, [None, 4])
    )
    assert mapped.shape.as_list() == [None, 4, 8]


def test_what_is_not_built_says_so():
  with pytest.raises(AttributeError, match="fused_reorder_by_indices is not supported yet"):
    _ = distribution_ops.fused_reorder_by_indices
  with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
    _ = distribution_ops.nonsense
