# SPDX-License-Identifier: Apache-2.0
"""The fused path against the one that is not: lookup, combiners, TensorFlow's gradients, apply_gradients with dedup."""

from monolith.native_training import embedding_combiners
from monolith.native_training import entry
from monolith.native_training import fused_embedding
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.fused_embedding import Feature, Layout, Slice
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2
from monolith.native_training.runtime.ops import gen_monolith_ops

import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

if __name__ == "__main__":  # only before the first op
  tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))

MultiHashTable = multi_hash_table_ops.MultiHashTable
InvalidArgument = tf.errors.InvalidArgumentError
_SUM, _MEAN = embedding_combiners.ReduceSum(), embedding_combiners.ReduceMean()
_FIRST = embedding_combiners.FirstN(2)
_VOCABULARY = 40


def _config(*slices, rates=None):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  for dim, optimizer in slices:
    initializer = entry.RandomUniformInitializer(-0.1, 0.1)
    config.entry_config.segments.append(entry.CombineAsSegment(dim, initializer, optimizer, entry.Fp32Compressor()))
  return entry.HashTableConfigInstance(config, [0.1] * len(slices) if rates is None else rates)


def _configs():
  return {
    "narrow": _config((3, entry.AdagradOptimizer(initial_accumulator_value=0.1))),
    "unused": _config((2, entry.SgdOptimizer())),
    "wide": _config(
      (4, entry.AdamOptimizer()), (1, entry.FtrlOptimizer(initial_accumulator_value=0.1, beta=1)), rates=[0.2, 0.3]
    ),
  }


def _features():
  both = [Slice("deep", 4), Slice("bias", 1)]
  return [
    Feature("one", "wide", both),
    Feature("pooled", "wide", both, _SUM),
    Feature("mean", "narrow", [Slice("deep", 3)], _MEAN),
    Feature("sequence", "wide", [Slice("history", 5)], _FIRST),
    Feature("again", "narrow", [Slice("history", 3)], _FIRST),
    Feature("mean_of_one_slice", "wide", [Slice(None, 4), Slice("bias", 1)], _MEAN),
    Feature("alone", "narrow", [Slice("alone", 3)], _SUM),
  ]


def _random_ids(random, batch, dense=("one",)):
  """Numbers of fids between 0 and 5 a row, with repetitions in rows and over them; `dense` features have one each."""
  ids = {}
  for feature in _features():
    if feature.name in dense:
      ids[feature.name] = tf.constant(random.integers(0, _VOCABULARY, batch), tf.int64)
    else:
      lengths = random.integers(0, 6, batch)
      values = tf.constant(random.integers(0, _VOCABULARY, lengths.sum()), tf.int64)
      ids[feature.name] = tf.RaggedTensor.from_row_lengths(values, lengths)
  return ids


def _as_ragged(ids):
  if isinstance(ids, tf.RaggedTensor):
    return ids
  return tf.RaggedTensor.from_tensor(ids[:, tf.newaxis] if ids.shape.rank == 1 else ids)


def _separate_step(table, layout, ids, loss_of, step):
  """One training step by lookup, combiners and apply_gradients; returns the outputs and the table."""
  ragged = {name: _as_ragged(value) for name, value in ids.items()}
  by_table = {}
  for feature in layout.features:
    by_table.setdefault(feature.table, []).append(feature)
  fids = {name: tf.concat([ragged[f.name].values for f in features], 0) for name, features in by_table.items()}
  rows = table.lookup(fids)
  parts = {name: [] for name in layout.output_names}
  with tf.GradientTape() as tape:
    tape.watch(list(rows.values()))
    embeddings = {}
    for name, features in by_table.items():
      split = tf.split(rows[name], [tf.size(ragged[f.name].values) for f in features])
      embeddings.update({f.name: part for f, part in zip(features, split)})
    for feature in layout.features:
      combined = feature.combiner.combine(ragged[feature.name], embeddings[feature.name])
      begin = 0
      for part in feature.slices:
        if part.output is not None:
          parts[part.output].append(combined[..., begin : begin + part.dim])
        begin += part.dim
    outputs = {name: tf.concat(list_, -1) for name, list_ in parts.items()}
    loss = loss_of(outputs)
  gradients = tape.gradient(loss, rows)
  pairs = {name: (fids[name], tf.convert_to_tensor(gradients[name])) for name in fids}
  return outputs, table.apply_gradients(pairs, step, enable_dedup=True)


def _loss_of(outputs):
  return tf.add_n([tf.reduce_sum(tf.sin(value * 3 + 1)) for value in outputs.values()])


def _entries(table):
  names = ("narrow", "wide")
  found = table.lookup_entry({name: tf.range(_VOCABULARY, dtype=tf.int64) for name in names})
  return [found[name].numpy().tolist() for name in names]


def _values(table):
  found = table.lookup({name: tf.range(_VOCABULARY, dtype=tf.int64) for name in ("narrow", "wide")})
  return np.concatenate([found[name].numpy().ravel() for name in sorted(found)])


def _fused_step(table, layout, ids, step, anchor):
  with tf.GradientTape() as tape:
    outputs = fused_embedding.combined_lookup(table, layout, ids, anchor=anchor, global_step=step)
    loss = _loss_of(outputs)
  return outputs, tape.gradient(loss, anchor)


@pytest.mark.parametrize("batch", [0, 1, 50])
@pytest.mark.parametrize("in_function", [False, True])
def test_same_numbers_as_the_separate_ops(batch, in_function):
  layout, anchor = Layout(_features()), tf.Variable(0.0)
  fused, separate = MultiHashTable.from_configs(_configs()), MultiHashTable.from_configs(_configs())
  run = tf.function(_fused_step, reduce_retracing=True) if in_function else _fused_step
  random = np.random.default_rng(batch)
  for number in range(4):
    ids, step = _random_ids(random, batch), tf.constant(number, tf.int64)
    outputs, zero = run(fused, layout, ids, step, anchor)
    expected, separate = _separate_step(separate, layout, ids, _loss_of, step)
    assert sorted(outputs) == sorted(expected) == ["alone", "bias", "deep", "history"]
    for name in outputs:
      np.testing.assert_array_equal(outputs[name], expected[name], err_msg=name)
    assert zero.numpy() == 0
  assert _entries(fused) == _entries(separate)
  if batch == 50:
    assert np.count_nonzero(_values(fused)) > 200


def test_gradient_through_concatenation_of_one_table_and_explicit_update_agree():
  layout, step = Layout(_features()), tf.constant(3, tf.int64)
  one, two = MultiHashTable.from_configs(_configs()), MultiHashTable.from_configs(_configs())
  ids = _random_ids(np.random.default_rng(0), 20)
  for _ in range(2):
    _fused_step(one, layout, ids, step, tf.Variable(0.0))
    with tf.GradientTape() as tape:
      outputs = fused_embedding.combined_lookup(two, layout, ids)
      tape.watch(outputs)
      loss = _loss_of(outputs)
    two = fused_embedding.combined_apply_gradients(two, layout, ids, tape.gradient(loss, outputs), step)
  assert _entries(one) == _entries(two)


def test_unknown_batch_in_a_function():
  layout, table = Layout(_features()), MultiHashTable.from_configs(_configs())
  specs = {f.name: tf.RaggedTensorSpec([None, None], tf.int64) for f in layout.features}
  specs["one"] = tf.TensorSpec([None], tf.int64)

  @tf.function(input_signature=[specs])
  def look(ids):
    outputs = fused_embedding.combined_lookup(table, layout, ids)
    assert outputs["deep"].shape.as_list() == [None, 11] and outputs["history"].shape.as_list() == [None, 2, 8]
    return outputs

  for batch in (0, 1, 3):
    assert look(_random_ids(np.random.default_rng(0), batch))["bias"].shape == (batch, 3)


def test_dense_rows_are_like_ragged_ones():
  table = MultiHashTable.from_configs(_configs())
  random = np.random.default_rng(1)
  table = table.assign(
    {
      "narrow": (
        tf.range(_VOCABULARY, dtype=tf.int64),
        tf.constant(random.standard_normal((_VOCABULARY, 3)), tf.float32),
      )
    }
  )
  ids = tf.constant(random.integers(0, _VOCABULARY + 3, (9, 4)), tf.int64)
  for combiner in (_SUM, _MEAN, _FIRST, embedding_combiners.FirstN(4), embedding_combiners.FirstN(6)):
    layout = Layout([Feature("f", "narrow", [Slice("o", 3)], combiner)])
    dense = fused_embedding.combined_lookup(table, layout, {"f": ids})["o"]
    ragged = tf.RaggedTensor.from_tensor(ids)
    for splits in (tf.int32, tf.int64):
      found = fused_embedding.combined_lookup(table, layout, {"f": ragged.with_row_splits_dtype(splits)})["o"]
      np.testing.assert_array_equal(dense, found)
    rows = table.lookup({"narrow": ragged.values})["narrow"]
    np.testing.assert_array_equal(dense, combiner.combine(ragged, rows))


def test_row_splits_of_two_types_and_int32_ids():
  layout = Layout([Feature("a", "narrow", [Slice("o", 3)]), Feature("b", "narrow", [Slice("o", 3)])])
  table = MultiHashTable.from_configs(_configs()).assign({"narrow": (tf.constant([7], tf.int64), tf.ones([1, 3]))})
  narrow = tf.RaggedTensor.from_row_lengths(tf.constant([7, 7], tf.int64), tf.constant([2, 0], tf.int32))
  wide = tf.RaggedTensor.from_row_lengths(tf.constant([7], tf.int32), tf.constant([0, 1], tf.int64))
  found = fused_embedding.combined_lookup(table, layout, {"a": narrow, "b": wide})["o"]
  assert found.numpy().tolist() == [[2, 2, 2, 0, 0, 0], [0, 0, 0, 1, 1, 1]]


def test_one_fid_in_two_features_takes_one_step_and_is_counted_once():
  table = MultiHashTable.from_configs({"t": _config((1, entry.AdagradOptimizer(initial_accumulator_value=1)))})
  table = table.assign({"t": (tf.constant([7], tf.int64), tf.zeros([1, 1]))})
  layout = Layout([Feature("a", "t", [Slice("o", 1)]), Feature("b", "t", [Slice("o", 1)])])
  ids = {"a": tf.constant([7], tf.int64), "b": tf.constant([7], tf.int64)}
  table = fused_embedding.combined_apply_gradients(
    table, layout, ids, {"o": tf.constant([[1.0, 2.0]])}, tf.constant(0, tf.int64)
  )
  np.testing.assert_allclose(table.lookup({"t": tf.constant([7], tf.int64)})["t"], [[-0.0948683]], atol=1e-6)


def test_gradient_is_the_step_once_each_time_it_is_computed():
  table = MultiHashTable.from_configs({"t": _config((1, entry.SgdOptimizer()), rates=[1.0])})
  fid, anchor = tf.constant([7], tf.int64), tf.Variable(0.0)
  table = table.assign({"t": (fid, tf.zeros([1, 1]))})
  layout = Layout([Feature("a", "t", [Slice("o", 1)])])

  def value():
    return float(table.lookup({"t": fid})["t"][0, 0])

  with tf.GradientTape(persistent=True) as tape:
    outputs = fused_embedding.combined_lookup(
      table, layout, {"a": fid}, anchor=anchor, global_step=tf.constant(0, tf.int64)
    )
    loss = tf.reduce_sum(outputs["o"])
  assert value() == 0
  assert tape.gradient(loss, anchor).numpy() == 0 and value() == -1
  tape.gradient(loss, anchor)
  assert value() == -2


@pytest.mark.parametrize("stopped", [False, True])
def test_a_tape_that_watches_the_anchor_steps_whatever_it_is_asked_for(stopped):
  table = MultiHashTable.from_configs({"t": _config((1, entry.SgdOptimizer()), rates=[1.0])})
  fid, anchor, other = tf.constant([7], tf.int64), tf.Variable(0.0), tf.Variable(1.0)
  table = table.assign({"t": (fid, tf.zeros([1, 1]))})
  layout = Layout([Feature("a", "t", [Slice("o", 1)])])
  with tf.GradientTape() as tape:
    outputs = fused_embedding.combined_lookup(
      table, layout, {"a": fid}, anchor=anchor, global_step=tf.constant(0, tf.int64)
    )
    loss = tf.reduce_sum(tf.stop_gradient(outputs["o"]) if stopped else outputs["o"]) * other
  tape.gradient(loss, other)
  assert table.lookup({"t": fid})["t"].numpy() == (0 if stopped else -1)


def test_tape_outside_of_the_function():
  table = MultiHashTable.from_configs({"t": _config((1, entry.SgdOptimizer()), rates=[1.0])})
  fid, anchor = tf.constant([7], tf.int64), tf.Variable(0.0)
  table = table.assign({"t": (fid, tf.zeros([1, 1]))})
  layout = Layout(
    [
      Feature(
        "a",
        "t",
        [
          Slice("o", 1),
        ],
      )
    ]
  )

  @tf.function
  def forward(ids):
    step = tf.constant(0, tf.int64)
    return tf.reduce_sum(
      fused_embedding.combined_lookup(table, layout, {"a": ids}, anchor=anchor, global_step=step)["o"]
    )

  forward(fid)
  with tf.GradientTape() as tape:
    loss = forward(fid)
  assert tape.gradient(loss, anchor).numpy() == 0
  assert table.lookup({"t": fid})["t"].numpy() == -1


def test_session_runs_the_step_with_the_optimizer_of_the_anchor():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    rate = tf.compat.v1.get_variable("rate", [], initializer=tf.constant_initializer(1.0))
    table = MultiHashTable.from_configs({"t": _config((2, entry.SgdOptimizer()), rates=[lambda: rate])})
    anchor = tf.compat.v1.get_variable("anchor", [], initializer=tf.zeros_initializer())
    dense = tf.compat.v1.get_variable("dense", [2], initializer=tf.ones_initializer())
    ids = tf.compat.v1.placeholder(tf.int64, [None])
    layout = Layout([Feature("a", "t", [Slice("o", 2)])])
    step = tf.compat.v1.train.get_or_create_global_step()
    outputs = fused_embedding.combined_lookup(table, layout, {"a": ids}, anchor=anchor, global_step=step)
    assert outputs["o"].shape.as_list() == [None, 2]
    loss = tf.reduce_sum(outputs["o"] * dense)
    train = tf.compat.v1.train.GradientDescentOptimizer(0.0).minimize(loss, global_step=step)
    found = table.lookup({"t": tf.constant([5], tf.int64)})["t"]
    fill = table.assign({"t": (tf.constant([5], tf.int64), tf.zeros([1, 2]))}).as_op()
    session.run([tf.compat.v1.global_variables_initializer(), table.initializer])
    session.run(fill)
    session.run(loss, {ids: [5]})
    assert session.run(found).tolist() == [[0, 0]]  # a loss alone trains nothing
    session.run(train, {ids: [5, 5]})
    assert session.run(found).tolist() == [[-2, -2]]
    session.run(rate.assign(0.5))
    session.run(train, {ids: [5]})
    assert session.run(found).tolist() == [[-2.5, -2.5]] and session.run(anchor) == 0


def test_rate_function_sees_each_step():
  rate = tf.Variable(0.5)
  table = MultiHashTable.from_configs({"t": _config((1, entry.SgdOptimizer()), rates=[lambda: rate])})
  fid, anchor = tf.constant([7], tf.int64), tf.Variable(0.0)
  table = table.assign({"t": (fid, tf.zeros([1, 1]))})
  layout = Layout([Feature("a", "t", [Slice("o", 1)])])

  @tf.function
  def step():
    with tf.GradientTape() as tape:
      outputs = fused_embedding.combined_lookup(
        table, layout, {"a": fid}, anchor=anchor, global_step=tf.constant(0, tf.int64)
      )
      loss = tf.reduce_sum(outputs["o"])
    return tape.gradient(loss, anchor)

  step()
  rate.assign(0.25)
  step()
  assert table.lookup({"t": fid})["t"].numpy() == -0.75


# Threads.


def _digest_of_a_training():
  """Trains large batches and hashes all entries and outputs."""
  table = MultiHashTable.from_configs(_configs())
  layout, anchor = Layout(_features()), tf.Variable(0.0)
  random = np.random.default_rng(5)
  digest = hashlib.sha256()
  for number in range(3):
    ids = _random_ids(random, 9000)
    outputs, _ = _fused_step(table, layout, ids, tf.constant(number, tf.int64), anchor)
    for name in sorted(outputs):
      digest.update(outputs[name].numpy().tobytes())
  digest.update(repr(_entries(table)).encode())
  return digest.hexdigest()


@pytest.mark.slow
def test_same_bits_for_any_number_of_threads():
  root = pathlib.Path(__file__).resolve().parent.parent.parent
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
  digests = set()
  for threads in (1, 2, 5):
    command = [sys.executable, __file__, str(threads)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    digests.add(done.stdout.split()[-1])
  assert len(digests) == 1


# Errors.


def test_layout_refuses_by_name():
  with pytest.raises(ValueError, match="feature 'a' comes 2 times; give every feature its own name"):
    Layout([Feature("a", "t", [Slice("o", 1)]), Feature("a", "t", [Slice("o", 1)])])
  with pytest.raises(ValueError, match="feature 'a': combiner is 'sum'; use ReduceSum, ReduceMean or FirstN"):
    Layout([Feature("a", "t", [Slice("o", 1)], "sum")])
  with pytest.raises(ValueError, match="feature 'a': a slice has dim 0; it must be at least 1"):
    Layout([Feature("a", "t", [Slice("o", 0)])])
  with pytest.raises(ValueError, match="feature 'b' has max_seq_length 2, but output 'o' has 0"):
    Layout([Feature("a", "t", [Slice("o", 1)]), Feature("b", "t", [Slice("o", 1)], _FIRST)])
  for features in ([], [Feature("a", "t", [Slice(None, 1)])]):
    with pytest.raises(ValueError, match="no feature has a slice with an output"):
      Layout(features)


def test_calls_refuse_by_name():
  table = MultiHashTable.from_configs({"t": _config((2, entry.SgdOptimizer()))})
  layout = Layout([Feature("a", "t", [Slice("o", 2)])])
  look = lambda ids, **more: fused_embedding.combined_lookup(table, layout, ids, **more)  # noqa: E731
  ids = {"a": tf.constant([1], tf.int64)}
  with pytest.raises(KeyError, match="feature 'a' has no ids; pass ids of a"):
    look({})
  with pytest.raises(KeyError, match="ids of 'b', but the features are a"):
    look({**ids, "b": ids["a"]})
  with pytest.raises(ValueError, match="feature 'a': ids are float32; pass int64 fids"):
    look({"a": tf.constant([1.0])})
  with pytest.raises(ValueError, match=r"feature 'a': ids are \(1, 1, 1\); pass \[B\], \[B, L\] or a RaggedTensor"):
    look({"a": tf.zeros([1, 1, 1], tf.int64)})
  with pytest.raises(ValueError, match="feature 'a': ids are a SparseTensor; pass tf.RaggedTensor.from_sparse"):
    look({"a": tf.sparse.from_dense([[1]])})
  with pytest.raises(ValueError, match="feature 'a': ids are ragged .* with one ragged axis"):
    look({"a": tf.ragged.constant([[[1]]], tf.int64)})
  with pytest.raises(ValueError, match="an anchor but no global_step; pass the training step"):
    look(ids, anchor=tf.Variable(0.0))
  with pytest.raises(KeyError, match="output 'o' has no gradient; pass gradients of o"):
    fused_embedding.combined_apply_gradients(table, layout, ids, {}, tf.constant(0, tf.int64))
  with pytest.raises(KeyError, match="feature 'a' has table 'u', but the tables are t; add it"):
    fused_embedding.combined_lookup(table, Layout([Feature("a", "u", [Slice("o", 2)])]), ids)


def _raw(table, **changes):
  """The optimizer op on one feature of the table "t" with dim 2, two rows."""
  arguments = {
    "mtable": table.handle, "ids": [tf.constant([1, 2, 3], tf.int64)], "row_splits": [tf.constant([0, 1, 3], tf.int64)],
    "output_gradients": [tf.ones([2, 2])], "learning_rate": tf.ones([1]), "update_time": tf.constant(0, tf.int64),
    "global_step": tf.constant(0, tf.int64), "tables": [0], "combiners": ["sum"], "max_seq_lengths": [0],
    "slice_features": [0], "slice_begins": [0], "slice_dims": [2], "slice_outputs": [0], "slice_columns": [0],
    "output_widths": [2], "output_lengths": [0],
  }  # fmt: skip
  arguments.update(changes)
  return gen_monolith_ops.monolith_multi_hash_table_combined_optimize(**arguments)


_int64 = lambda *values: tf.constant(values, tf.int64)  # noqa: E731


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"row_splits": [_int64(0, 3, 2)]}, "feature 0: row_splits run from 0 to 2, but there are 3 ids"),
    ({"row_splits": [_int64(1, 2, 3)]}, "feature 0: row_splits run from 1 to 3"),
    ({"row_splits": [_int64(0, 4, 3)]}, r"feature 0: row_splits decrease at 2 \(4 to 3\); pass row splits in order"),
    ({"row_splits": [_int64()], "ids": [tf.zeros([], tf.int64)]}, r"ids have shape \[\]; without row_splits pass"),
    ({"ids": [tf.zeros([3, 1], tf.int64)]}, r"ids have shape \[3,1\] and row_splits \[3\]; both must be vectors"),
    ({"row_splits": [_int64(0, 3)]}, r"gradient of output 0 has shape \[2,2\], but the output has \[1,2\]"),
    ({"output_gradients": [tf.ones([2, 3])]}, r"gradient of output 0 has shape \[2,3\], but the output has \[2,2\]"),
    ({"learning_rate": tf.ones([2])}, "learning_rate has 2 elements, but the tables have 1 slices"),
    ({"update_time": _int64(0, 0)}, r"update_time has shape \[2\]; pass a scalar"),
    ({"global_step": _int64(0)}, r"global_step has shape \[1\]; pass a scalar"),
    ({"tables": [1]}, "feature 0 reads table 1, but there are 1; count them from 0"),
    ({"tables": [-1]}, "feature 0: table is -1; give the number of a table"),
    ({"tables": [0, 0]}, "tables has 2 elements and max_seq_lengths 1; give them the same length"),
    ({"combiners": ["max"]}, "combiner is 'max'; use sum, mean or first_n"),
    ({"combiners": ["sum", "sum"]}, "1 ids, 1 tables and 2 combiners; give one of each a feature"),
    ({"slice_begins": [1]}, "feature 0 uses columns 1 to 3, but table 't' has dim 2; make the slice narrower"),
    ({"slice_columns": [1]}, "takes 2 columns from 1 on, but output 0 is 2 wide; make it wider"),
    ({"slice_dims": [1]}, "output 0: column 1 of 2 belongs to no slice; fill it"),
    ({"slice_dims": []}, "slice_features has 1 elements and slice_dims 0; give them the same length"),
    ({"output_widths": [2, 2], "output_lengths": [0, 0]}, "M is 1, but output_widths has 2 elements; give one each"),
    ({"output_widths": [0]}, "output 0: width is 0 and length 0"),
  ],
)  # fmt: skip
def test_op_refuses_by_name_and_changes_nothing(changes, message):
  table = MultiHashTable.from_configs({"t": _config((2, entry.SgdOptimizer()))})
  with pytest.raises(InvalidArgument, match=message):
    _raw(table, **changes)
  assert table.lookup_entry({"t": _int64(1)})["t"].numpy().tolist() == [b""]
  _raw(table)
  assert table.lookup_entry({"t": _int64(1)})["t"].numpy().tolist() != [b""]


def test_features_of_different_batches_are_refused():
  table = MultiHashTable.from_configs({"t": _config((1, entry.SgdOptimizer()))})
  layout = Layout([Feature("a", "t", [Slice("o", 1)]), Feature("b", "t", [Slice("o", 1)])])
  with pytest.raises(InvalidArgument, match="feature 1 has 3 rows, but feature 0 has 2; all features of a call"):
    fused_embedding.combined_lookup(table, layout, {"a": _int64(1, 2), "b": _int64(1, 2, 3)})
  with tf.Graph().as_default():
    table = MultiHashTable.from_configs({"t": _config((1, entry.SgdOptimizer()))})
    ids = {"a": tf.zeros([2], tf.int64), "b": tf.zeros([3], tf.int64)}
    with pytest.raises(ValueError, match="feature 1 has 3 rows, but feature 0 2; all features of a call"):
      fused_embedding.combined_lookup(table, layout, ids)


def test_shape_functions():
  with tf.Graph().as_default():
    table = MultiHashTable.from_configs({"t": _config((2, entry.SgdOptimizer()))})
    assert _raw(table).shape == []
    for changes in (
      {"ids": [tf.zeros([3, 1], tf.int64)]}, {"row_splits": [tf.zeros([3, 1], tf.int64)]},
      {"update_time": tf.zeros([1], tf.int64)}, {"global_step": tf.zeros([1], tf.int64)},
      {"learning_rate": tf.ones([])}, {"ids": [tf.zeros([], tf.int64)], "row_splits": [tf.zeros([0], tf.int64)]},
      {"ids": [tf.zeros([1, 1, 1], tf.int64)], "row_splits": [tf.zeros([0], tf.int64)]},
    ):  # fmt: skip
      with pytest.raises(ValueError, match="must be (at least |at most )?rank"):
        _raw(table, **changes)
    with pytest.raises(ValueError, match="must be equal, but are 2 and 3"):
      _raw(table, output_gradients=[tf.ones([2, 3])])
    with pytest.raises(ValueError, match="1 outputs, 2 output_widths and 1 output_lengths"):
      _raw(table, output_widths=[2, 2])
    with pytest.raises(ValueError, match="output 0: width is 0 and length 0"):
      _raw(table, output_widths=[0])
    ragged = tf.compat.v1.ragged.placeholder(tf.int64, 1)
    layout = Layout([Feature("a", "t", [Slice("o", 2)])])
    anchor = tf.compat.v1.placeholder(tf.float32, [])
    for more in ({}, {"anchor": anchor, "global_step": tf.constant(0, tf.int64)}):
      found = fused_embedding.combined_lookup(table, layout, {"a": ragged}, **more)["o"]
      assert found.shape.as_list() == [None, 2]
    with pytest.raises(ValueError, match="must be rank 0"):
      fused_embedding.combined_lookup(
        table, layout, {"a": ragged}, anchor=tf.zeros([1]), global_step=tf.constant(0, tf.int64)
      )


def test_uninitialised_table_is_not_found():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = MultiHashTable.from_configs({"t": _config((2, entry.SgdOptimizer()))}, name_suffix="x")
    found = fused_embedding.combined_lookup(table, Layout([Feature("a", "t", [Slice("o", 2)])]), {"a": _int64_graph()})
    with pytest.raises(tf.errors.NotFoundError, match="'MonolithMultiHashTable_x' has not been created; run its init"):
      session.run(found)


def _int64_graph():
  return tf.constant([1], tf.int64)


if __name__ == "__main__":
  print(_digest_of_a_training())
