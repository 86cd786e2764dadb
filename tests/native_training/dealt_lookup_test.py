# SPDX-License-Identifier: Apache-2.0
"""Fids dealt out to several tables against one table that has them all."""

from __future__ import annotations

import numpy as np
import pytest

from monolith.native_training import _dealt_lookup, embedding_combiners, entry, fused_embedding, test_utils
from monolith.native_training import distributed_ps_factory, hash_filter_ops, multi_hash_table_ops
from monolith.native_training.fused_embedding import Feature, Layout, Slice
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf  # isort: skip

InvalidArgument = tf.errors.InvalidArgumentError
_NAMES, _DIMS = ["narrow", "unused", "wide"], [3, 2, 5]
_PLACE = 2**32


def _config(*dims):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  for dim in dims:
    config.entry_config.segments.append(
      entry.CombineAsSegment(
        dim,
        entry.RandomUniformInitializer(-0.1, 0.1),
        entry.AdagradOptimizer(initial_accumulator_value=0.1),
        entry.Fp32Compressor(),
      )
    )
  return entry.HashTableConfigInstance(config, [0.1 * (i + 1) for i in range(len(dims))])


def _configs():
  return {"narrow": _config(3), "unused": _config(2), "wide": _config(4, 1)}


def _layout():
  mean, first = embedding_combiners.ReduceMean(), embedding_combiners.FirstN(2)
  both = [Slice("deep", 4), Slice("bias", 1)]
  return Layout(
    [
      Feature("one", "wide", both),
      Feature("mean", "wide", both, mean),
      Feature("narrow", "narrow", [Slice("deep", 3)], mean),
      Feature("sequence", "wide", [Slice("history", 5)], first),
      Feature("again", "narrow", [Slice("history", 3)], first),
    ]
  )


def _batch(random, rows):
  """Fids of which some are negative, many repeat, and rows of which some are empty; of `one` one a row."""
  ids = {"one": tf.constant(random.integers(-20, 20, rows), tf.int64)}
  for name in ("mean", "narrow", "sequence", "again"):
    lengths = random.integers(0, 5, rows)
    ids[name] = tf.RaggedTensor.from_row_lengths(
      tf.constant(random.integers(-20, 20, lengths.sum()), tf.int64), lengths
    )
  return ids


def _loss(outputs):
  return tf.add_n([tf.reduce_sum(tf.sin(3 * value + 1)) for value in outputs.values()])


def _rows_of(tables):
  """Of every fid the embeddings of its own table, as one vector."""
  fids = list(range(-20, 20))
  found = []
  for fid in fids:
    rows = tables[fid % 2**64 % len(tables)].lookup({name: tf.constant([fid], tf.int64) for name in ("narrow", "wide")})
    found.append(np.concatenate([rows["narrow"][0], rows["wide"][0]]))
  return np.array(found)


@pytest.mark.parametrize("servers", [1, 2, 3])
def test_several_tables_train_as_one(servers):
  layout, random = _layout(), np.random.default_rng(servers)
  whole = multi_hash_table_ops.MultiHashTable.from_configs(_configs())
  parts = [multi_hash_table_ops.MultiHashTable.from_configs(_configs()) for _ in range(servers)]
  for number, rows in enumerate((30, 0, 1, 30)):
    ids, step = _batch(random, rows), tf.constant(number, tf.int64)
    lookup = _dealt_lookup.DealtLookup(_NAMES, _DIMS, servers, layout, ids)
    dealt = lookup.deal()
    fids = [_dealt_lookup.as_ragged(message, len(_NAMES)) for message in dealt.messages]
    embeddings = [part.raw_lookup(own) for part, own in zip(parts, fids)]
    with tf.GradientTape(persistent=True) as tape:
      tape.watch(embeddings)
      outputs = lookup.combine(dealt, embeddings)
      loss = _loss(outputs)
    expected = fused_embedding.combined_lookup(whole, layout, ids)
    for name in ("deep", "bias", "history"):
      np.testing.assert_array_equal(outputs[name], expected[name], err_msg=name)
    grads = tape.gradient(loss, embeddings)
    output_grads = tape.gradient(loss, outputs)
    for own, again in zip(grads, lookup.gradients(dealt, output_grads)):
      np.testing.assert_array_equal(own, again)
    parts = [part.raw_apply_gradients(own, grad, step) for part, own, grad in zip(parts, fids, grads)]
    whole = fused_embedding.combined_apply_gradients(whole, layout, ids, output_grads, step)
    np.testing.assert_array_equal(_rows_of(parts), _rows_of([whole]))
  assert np.count_nonzero(_rows_of(parts)) > 200


def test_an_output_without_gradient_counts_as_zeros():
  ids = _batch(np.random.default_rng(0), 5)
  lookup = _dealt_lookup.DealtLookup(_NAMES, _DIMS, 2, _layout(), ids)
  dealt = lookup.deal()
  rows = [tf.ones(len(own.values) and sum(own.row_lengths().numpy() * _DIMS)) for own in map(_ragged, dealt.messages)]
  with tf.GradientTape() as tape:
    tape.watch(rows)
    loss = tf.reduce_sum(lookup.combine(dealt, rows)["bias"])
  # 1 for each fid of `one`, and for each row of `mean` that has fids, shared by them.
  expected = 5 + np.count_nonzero(ids["mean"].row_lengths())
  np.testing.assert_allclose(sum(float(tf.reduce_sum(grad)) for grad in tape.gradient(loss, rows)), expected, rtol=1e-6)


def _ragged(message):
  return _dealt_lookup.as_ragged(message, len(_NAMES))


def test_what_servers_get():
  ids = [tf.constant([4, 7, 4, -1], tf.int64), tf.constant([[9], [7]], tf.int64)]
  fids, places = gen_monolith_ops.monolith_deal_fids(ids, num_tables=3, num_shards=2, tables=[1, 1])
  assert [message.numpy().tolist() for message in fids] == [[0, 0, 1, 1, 4], [0, 0, 3, 3, 7, -1, 9]]
  assert places.numpy().tolist() == [0, _PLACE, 0, _PLACE + 1, _PLACE + 2, _PLACE]
  assert _ragged(fids[1]).to_list() == [[], [7, -1, 9], []]


def test_a_graph_knows_the_number_of_places():
  with tf.Graph().as_default():
    known, vector = tf.zeros([2, 3], tf.int64), tf.compat.v1.placeholder(tf.int64, [None])
    for ids, expected in (([known, known], 12), ([known, vector], None)):
      fids, places = gen_monolith_ops.monolith_deal_fids(ids, num_tables=1, num_shards=2, tables=[0, 0])
      assert places.shape.as_list() == [expected] and [f.shape.as_list() for f in fids] == [[None]] * 2


@pytest.mark.parametrize("num_ps", [1, 3])
def test_servers_in_a_session(num_ps):
  layout, random = _layout(), np.random.default_rng(7)
  batches = [_batch(random, 10) for _ in range(3)]
  tf.random.set_seed(5)  # of eager tables; tests before this one may have set another
  whole, outputs = multi_hash_table_ops.MultiHashTable.from_configs(_configs()), []
  for number, ids in enumerate(batches):
    outputs.append(fused_embedding.combined_lookup(whole, layout, ids))
    whole = fused_embedding.combined_apply_gradients(
      whole, layout, ids, outputs[-1], tf.constant(number, tf.int64), req_time=tf.constant(7, tf.int64)
    )
  values = [[part.numpy() for part in tf.nest.flatten(ids, expand_composites=True)] for ids in batches]
  with tf.Graph().as_default():
    tf.compat.v1.set_random_seed(5)
    tables = distributed_ps_factory.create_native_multi_hash_table(
      num_ps, _configs(), hash_filter_ops.create_hash_filters(num_ps, False)
    )
    spec = {"one": tf.compat.v1.placeholder(tf.int64, [10])}
    for name in ("mean", "narrow", "sequence", "again"):
      spec[name] = tf.compat.v1.ragged.placeholder(tf.int64, ragged_rank=1)
    lookup, step = tables.combined(layout, spec), tf.compat.v1.placeholder(tf.int64, [])
    dealt = lookup.deal()
    found = lookup.combine(dealt, tables.lookup_dealt(dealt))
    assert found["deep"].shape.as_list() == [10, 11] and found["history"].shape.as_list() == [10, 2, 8]
    sums = lookup.gradients(dealt, found)
    update = tables.apply_dealt_gradients(dealt.messages, sums, step, req_time=tf.constant(7, tf.int64)).as_op()
    with test_utils.ps_session(num_ps) as session:
      session.run([tf.compat.v1.global_variables_initializer(), tf.compat.v1.tables_initializer()])
      for number, (batch, expected) in enumerate(zip(values, outputs)):
        feeds = dict(zip(tf.nest.flatten(spec, expand_composites=True), batch))
        got = session.run(found, feeds)
        for name in got:
          np.testing.assert_allclose(got[name], expected[name], atol=1e-6, err_msg=name)
        session.run(update, {**feeds, step: number})


def _inputs():
  """Good inputs of MonolithCombineDealt: fids 5 and 6 of one table of dim 1, on two servers."""
  return {
    "embeddings": [tf.constant([6.0]), tf.constant([5.0])],
    "fids": [tf.constant([0, 1, 6], tf.int64), tf.constant([0, 1, 5], tf.int64)],
    "places": tf.constant([_PLACE, 0], tf.int64),
    "ids": [tf.constant([5, 6], tf.int64)],
    "row_splits": [tf.constant([0, 2], tf.int64)],
  }


def _attributes(**changed):
  layout = Layout([Feature("f", "t", [Slice("o", 1)])])
  return {"dims": [1], **layout.attributes(["t"]), **changed}


def _combine(changed, **attributes):
  return gen_monolith_ops.monolith_combine_dealt(**{**_inputs(), **changed}, M=1, **_attributes(**attributes))


def _sum(changed, **attributes):
  inputs = {**_inputs(), "output_gradients": [tf.constant([[2.0]])], **changed}
  del inputs["embeddings"]
  return gen_monolith_ops.monolith_combine_dealt_gradient(**inputs, **_attributes(**attributes))


def test_the_good_inputs_are_good():
  assert _combine({})[0].numpy().tolist() == [[11]]
  assert [grad.numpy().tolist() for grad in _sum({})] == [[2], [2]]


@pytest.mark.parametrize(
  "changed, message",
  [
    ({"places": tf.constant([0], tf.int64)}, "1 places for 2 ids; pass those of the same ids"),
    ({"places": tf.constant([0, 1], tf.int64)}, "row 1 of server 0, which is beyond its rows"),
    ({"places": tf.constant([0, 2 * _PLACE], tf.int64)}, "row 0 of server 2, which is beyond its rows"),
    ({"fids": [tf.constant([0], tf.int64)] * 2}, "server 0 are 1 numbers, too few for the row splits of 1 tables"),
    ({"fids": [tf.constant([0, 2, 6], tf.int64)] * 2}, "row splits from 0 to 2, but there are 1"),
    ({"ids": [tf.constant([5], tf.int64)]}, "row_splits run from 0 to 2, but there are 1 ids"),
  ],
)
def test_inputs_that_do_not_fit_are_refused(changed, message):
  for op in (_combine, _sum):
    with pytest.raises(InvalidArgument, match=message):
      op(changed)


def test_other_rows_and_attributes_that_do_not_fit_are_refused():
  with pytest.raises(InvalidArgument, match="rows of server 1 have 2 floats, but its fids need 1"):
    _combine({"embeddings": [tf.constant([6.0]), tf.constant([5.0, 5.0])]})
  shapes = r"\} MonolithCombineDealtGradient: the gradient of output 0 has shape \[2,1\], but the output has \[1,1\]"
  with pytest.raises(InvalidArgument, match=shapes):
    _sum({"output_gradients": [tf.zeros([2, 1])]})
  for op in (_combine, _sum):
    with pytest.raises(InvalidArgument, match="a dim is below 1"):
      op({}, dims=[0])
    with pytest.raises(InvalidArgument, match="reads table 0, but there are 0"):
      op({}, dims=[])
    with pytest.raises(InvalidArgument, match="columns 0 to 2, but table 0 has dim 1"):
      op({}, slice_dims=[2], output_widths=[2])
  ids = [tf.constant([1], tf.int64)]
  with pytest.raises(InvalidArgument, match="a feature has table 3, but num_tables is 3; count from 0"):
    gen_monolith_ops.monolith_deal_fids(ids, num_tables=3, num_shards=1, tables=[3])
  with pytest.raises(InvalidArgument, match="1 ids and 2 tables; give one of each a feature"):
    gen_monolith_ops.monolith_deal_fids(ids, num_tables=3, num_shards=1, tables=[0, 1])


@pytest.mark.parametrize("name", ["embeddings", "fids", "places", "row_splits"])
def test_graphs_refuse_wrong_ranks(name):
  value = _inputs()[name]
  wrong = [value[0][tf.newaxis], *value[1:]] if isinstance(value, list) else value[tf.newaxis]
  values = tf.nest.map_structure(lambda part: part.numpy(), {**_inputs(), name: wrong})
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be rank 1 but is rank 2"):
    _combine(values)


def test_a_missing_gradient_is_named():
  lookup = _dealt_lookup.DealtLookup(_NAMES, _DIMS, 2, _layout(), _batch(np.random.default_rng(0), 2))
  with pytest.raises(KeyError, match="output 'bias' has no gradient"):
    lookup.gradients(lookup.deal(), {"deep": tf.zeros([2, 11]), "history": tf.zeros([2, 2, 8])})
