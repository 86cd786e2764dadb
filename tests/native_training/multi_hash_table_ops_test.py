# SPDX-License-Identifier: Apache-2.0
"""Multi hash tables: reads, writes and errors, eagerly, in graphs and in tf.functions."""

from monolith.native_training import entry
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.model_export import export_context
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2
from monolith.native_training.runtime.hash_table.initializer import initializer_config_pb2
from monolith.native_training.runtime.ops import gen_monolith_ops

import hashlib
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

MultiHashTable = multi_hash_table_ops.MultiHashTable
InvalidArgument = tf.errors.InvalidArgumentError


def _config(*slices, rates=None):
  """A table of slices (dim, optimizer[, initializer])."""
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  for dim, optimizer, *rest in slices:
    initializer = rest[0] if rest else entry.ZerosInitializer()
    config.entry_config.segments.append(entry.CombineAsSegment(dim, initializer, optimizer, entry.Fp32Compressor()))
  return entry.HashTableConfigInstance(config, [1.0] * len(slices) if rates is None else rates)


def _sgd(dim, rate=1.0):
  return _config((dim, entry.SgdOptimizer()), rates=[rate])


def _ids(*values):
  return tf.constant(values, tf.int64)


def _floats(values):
  return tf.constant(values, tf.float32)


def _evaluate(run, fetch):
  """Calls `fetch()`, which makes its tables itself, and returns NumPy values."""
  if run == "eager":
    return tf.nest.map_structure(lambda t: t.numpy(), fetch())
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    values = fetch()
    for table in tf.compat.v1.get_collection("monolith_multi_hash_tables"):
      session.run(table.initializer)
    return session.run(values)


@pytest.fixture(params=["eager", "graph"])
def run(request):
  return request.param


def test_slots_absent_from_the_call_are_left_alone(run):
  def fetch():
    table = MultiHashTable.from_configs({"slot0": _sgd(1), "slot1": _sgd(2), "slot2": _sgd(2)})
    table = table.assign({"slot0": (_ids(0), _floats([[1]])), "slot2": (_ids(2, 3), _floats([[1, 2], [3, 4]]))})
    table = table.assign_add({"slot2": (_ids(3), _floats([[10, 10]]))})
    return table.lookup({"slot0": _ids(0, 5), "slot2": _ids(3, 2), "slot1": _ids()})

  found = _evaluate(run, fetch)
  assert sorted(found) == ["slot0", "slot1", "slot2"]
  np.testing.assert_array_equal(found["slot0"], [[1], [0]])
  np.testing.assert_array_equal(found["slot2"], [[13, 14], [1, 2]])
  assert found["slot1"].shape == (0, 2)


def test_apply_gradients_takes_any_rank_of_gradient(run):
  def fetch():
    table = MultiHashTable.from_configs({"slot0": _sgd(1), "slot1": _sgd(2)})
    grads = {"slot0": (_ids(0), tf.constant(2.0)), "slot1": (_ids(1, 2), _floats([[1, 3], [2, 4]]))}
    table = table.apply_gradients(grads, global_step=tf.constant(0, tf.int64))
    return table.lookup({"slot0": _ids(0), "slot1": _ids(1, 2)})

  found = _evaluate(run, fetch)
  np.testing.assert_allclose(found["slot0"], [[-2]])
  np.testing.assert_allclose(found["slot1"], [[-1, -3], [-2, -4]])


@pytest.mark.parametrize("dedup", [False, True])
def test_gradients_of_equal_ids_all_count(run, dedup):
  def fetch():
    table = MultiHashTable.from_configs({"slot1": _sgd(2)})
    grads = {"slot1": (_ids(2, 2), _floats([[1.1, 3.1], [2.2, 4.2]]))}
    return table.apply_gradients(grads, tf.constant(0, tf.int64), enable_dedup=dedup).lookup({"slot1": _ids(2)})

  np.testing.assert_allclose(_evaluate(run, fetch)["slot1"], [[-3.3, -7.3]], rtol=1e-6)


@pytest.mark.parametrize("dedup, expected", [(False, -0.1523603), (True, -0.0948683)])
def test_dedup_takes_one_step_with_the_sum_of_gradients(run, dedup, expected):
  def fetch():
    adagrad = _config((1, entry.AdagradOptimizer(initial_accumulator_value=1)), rates=[0.1])
    table = MultiHashTable.from_configs({"slot": adagrad})
    grads = {"slot": (_ids(7, 7), _floats([[1], [2]]))}
    return table.apply_gradients(grads, tf.constant(0, tf.int64), enable_dedup=dedup).lookup({"slot": _ids(7)})

  np.testing.assert_allclose(_evaluate(run, fetch)["slot"], [[expected]], atol=1e-6)


def test_reinitialize_tells_which_fids_existed(run):
  def fetch():
    table = MultiHashTable.from_configs({"slot1": _sgd(1), "slot2": _sgd(2)})
    table = table.assign({"slot2": (_ids(2, 3), _floats([[1, 2], [3, 4]]))})
    table, status = table.reinitialize("slot2", _ids(1, 2, 3))
    _, unknown = table.reinitialize("slot4", _ids(1, 2, 3))
    return status, table.lookup({"slot2": _ids(1, 2, 3)})["slot2"], unknown

  status, values, unknown = _evaluate(run, fetch)
  assert status.dtype == np.int32
  np.testing.assert_array_equal(status, [0, 1, 1])
  np.testing.assert_array_equal(values, np.zeros([3, 2]))
  np.testing.assert_array_equal(unknown, [-1, -1, -1])


def test_reinitialize_stamps_entries_with_the_clock():
  table = MultiHashTable.from_configs({"slot": _sgd(1)})
  before = int(time.time())
  table, _ = table.reinitialize("slot", _ids(7))
  after = int(time.time())
  (raw,) = table.lookup_entry({"slot": _ids(7)})["slot"].numpy()
  assert before <= embedding_hash_table_pb2.EntryDump.FromString(raw).last_update_ts_sec <= after


def test_reinitialize_resets_optimizer_state():
  adagrad = _config((1, entry.AdagradOptimizer(initial_accumulator_value=1)), rates=[0.1])
  table = MultiHashTable.from_configs({"slot": adagrad})
  grads = {"slot": (_ids(7), _floats([[1]]))}
  step = tf.constant(0, tf.int64)
  first = table.apply_gradients(grads, step).lookup({"slot": _ids(7)})["slot"].numpy()
  table, _ = table.reinitialize("slot", _ids(7))
  again = table.apply_gradients(grads, step).lookup({"slot": _ids(7)})["slot"].numpy()
  np.testing.assert_array_equal(first, again)


def test_lookup_entry_parses_and_is_empty_for_absent_fids(run):
  def fetch():
    slot = _config((1, entry.SgdOptimizer()), (2, entry.AdagradOptimizer(initial_accumulator_value=0.5)))
    table = MultiHashTable.from_configs({"a": _sgd(1), "slot": slot})
    table = table.assign({"slot": (_ids(1 << 48), _floats([[0.1, 0.2, 0.3]]))}, req_time=tf.constant(100, tf.int64))
    return table.lookup_entry({"slot": _ids(1 << 48, 5)})["slot"]

  found, absent = _evaluate(run, fetch)
  assert absent == b""
  dump = embedding_hash_table_pb2.EntryDump.FromString(found)
  np.testing.assert_allclose(dump.num, [0.1, 0.2, 0.3], rtol=1e-6)
  assert dump.last_update_ts_sec == 100 and not dump.HasField("id")
  first, second = dump.opt.dump
  assert first.WhichOneof("type") == "sgd"
  assert list(second.adagrad.norm) == [0.5, 0.5]


def test_lookup_entry_bytes():
  table = MultiHashTable.from_configs({"slot": _sgd(1)})
  table = table.assign({"slot": (_ids(-10), _floats([[1]]))})
  assert table.lookup_entry({"slot": _ids(-10)})["slot"][0].numpy().hex() == "150000803f1a040a0212002000"


def test_table_core_cases():
  table = MultiHashTable.from_configs({"slot": _sgd(1, 0.01)})
  assert table.lookup({"slot": _ids(5)})["slot"].numpy() == 0
  table = table.assign_add({"slot": (_ids(-10), _floats([[2.5]]))})
  assert table.lookup({"slot": _ids(-10)})["slot"].numpy() == 2.5
  table = table.apply_gradients({"slot": (_ids(13), _floats([[1]]))}, tf.constant(0, tf.int64))
  np.testing.assert_allclose(table.lookup({"slot": _ids(13)})["slot"], [[-0.01]])
  table = table.assign({"slot": (_ids(-10, 13, 100), _floats([[1], [2], [3]]))})
  np.testing.assert_array_equal(table.lookup({"slot": _ids(5, -10, 13, 100)})["slot"], [[0], [1], [2], [3]])


def test_assign_add_on_a_fresh_entry_adds_to_the_initial_value():
  table = MultiHashTable.from_configs({"slot": _config((2, entry.SgdOptimizer(), entry.ConstantsInitializer(3)))})
  assert table.lookup({"slot": _ids(1)})["slot"].numpy().tolist() == [[0, 0]]
  table = table.assign_add({"slot": (_ids(1), _floats([[1, 2]]))})
  assert table.lookup({"slot": _ids(1)})["slot"].numpy().tolist() == [[4, 5]]


def test_learning_rates_follow_sorted_names_whatever_the_order_of_configs():
  configs = {"b": _sgd(1, 0.5), "a": _config((1, entry.SgdOptimizer()), (1, entry.SgdOptimizer()), rates=[1.0, 2.0])}
  table = MultiHashTable.from_configs(configs)
  assert table.table_names == ["a", "b"] and table.get_table_dim_sizes() == [2, 1]
  grads = {"a": (_ids(1), _floats([[1, 1]])), "b": (_ids(1), _floats([[1]]))}
  found = table.apply_gradients(grads, tf.constant(0, tf.int64)).lookup({"a": _ids(1), "b": _ids(1)})
  assert found["a"].numpy().tolist() == [[-1, -2]] and found["b"].numpy().tolist() == [[-0.5]]


def test_callable_learning_rate_is_called_each_step():
  rate = tf.Variable(0.5)
  table = MultiHashTable.from_configs({"slot": _sgd(1, lambda: rate)})
  grads = {"slot": (_ids(1), _floats([[1]]))}
  table.apply_gradients(grads, tf.constant(0, tf.int64))
  rate.assign(0.25)
  table = table.apply_gradients(grads, tf.constant(0, tf.int64))
  assert table.lookup({"slot": _ids(1)})["slot"].numpy().tolist() == [[-0.75]]


def test_polynomial_decay_case():
  from monolith.native_training import learning_rate_functions

  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    step = tf.compat.v1.train.get_or_create_global_step()
    table = MultiHashTable.from_configs({"slot": _sgd(1, learning_rate_functions.PolynomialDecay(0.01, 10, 0.11))})
    table = table.apply_gradients({"slot": (_ids(0, 0, 1), -tf.ones([3, 1]))}, step)
    found = table.lookup({"slot": _ids(0, 1)})["slot"]
    session.run([tf.compat.v1.global_variables_initializer(), table.initializer, step.initializer])
    session.run(tf.compat.v1.assign(step, 1))
    np.testing.assert_allclose(session.run(found), [[0.04], [0.02]], rtol=1e-6)


LOOKUPS = {
  "slots": lambda table, ids: table.lookup({"a": ids})["a"],
  "raw": lambda table, ids: table.raw_lookup(table.get_ragged_id({"a": ids})),
  "fused": lambda table, ids: table.fused_lookup(ids, tf.constant([1]), 1).embeddings,
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_a_lookup_is_a_constant_of_what_was_written_before(name):
  weight = tf.Variable(2.0)
  table = MultiHashTable.from_configs({"a": _sgd(1, lambda: 0.5 * weight)})
  with tf.GradientTape() as tape:
    updated = table.assign({"a": (_ids(1), tf.reshape(weight, [1, 1]))})
    updated = updated.apply_gradients({"a": (_ids(1), _floats([[1]]))}, tf.constant(0, tf.int64))
    loss = tf.reduce_sum(LOOKUPS[name](updated, _ids(1))) * weight
  assert tape.gradient(loss, weight).numpy() == 1  # the entry: 2 - 0.5 * 2


def test_works_inside_tf_function():
  table = MultiHashTable.from_configs({"a": _sgd(1), "b": _sgd(2)})

  @tf.function
  def step(ids, grads):
    updated = table.apply_gradients({"b": (ids, grads)}, tf.constant(0, tf.int64))
    return updated.lookup({"b": ids})["b"]

  np.testing.assert_allclose(step(_ids(1, 2), _floats([[1, 2], [3, 4]])), [[-1, -2], [-3, -4]])
  np.testing.assert_allclose(step(_ids(2), _floats([[1, 1]])), [[-4, -5]])
  np.testing.assert_allclose(table.lookup({"b": _ids(1)})["b"], [[-1, -2]])


def test_empty_call_does_nothing(run):
  def fetch():
    table = MultiHashTable.from_configs({"a": _sgd(1)})
    table = table.assign({}).apply_gradients({"a": (_ids(), tf.zeros([0, 1]))}, tf.constant(0, tf.int64))
    return table.lookup({"a": _ids()})

  assert _evaluate(run, fetch)["a"].shape == (0, 1)


def test_raw_calls_agree_with_the_dict_calls(run):
  def fetch():
    table = MultiHashTable.from_configs({"a": _sgd(1), "b": _sgd(2)})
    ragged = table.get_ragged_id({"b": _ids(1, 2), "a": _ids(9), "elsewhere": _ids(4)})
    flat = table.get_flat_value({"b": _floats([[1, 2], [3, 4]]), "a": _floats([[5]]), "elsewhere": _floats([[6]])})
    table = table.raw_assign(ragged, flat)
    table = table.raw_apply_gradients(ragged, tf.ones_like(flat), tf.constant(0, tf.int64))
    return table.get_embeddings(ragged, table.raw_lookup(ragged)), flat

  found, flat = _evaluate(run, fetch)
  np.testing.assert_array_equal(flat, [5, 1, 2, 3, 4])
  np.testing.assert_array_equal(found["a"], [[4]])
  np.testing.assert_array_equal(found["b"], [[0, 1], [2, 3]])


def test_lookup_of_many_requests_at_once():
  table = MultiHashTable.from_configs({"a": _sgd(1), "b": _sgd(2)})
  table = table.assign({"a": (_ids(1, 2), _floats([1, 2])), "b": (_ids(1, 2), _floats([[3, 4], [5, 6]]))})
  # Requests (a: 1; b: 2), (a: 2, 1; b: none), (a: none; b: 1).
  flat = gen_monolith_ops.monolith_multi_hash_table_lookup(table.handle, _ids(1, 2, 2, 1, 1), [0, 1, 2, 4, 4, 4, 5])
  assert flat.numpy().tolist() == [1, 5, 6, 2, 1, 3, 4]


class Twin:
  """What the optimizers do, in NumPy and float64, one coordinate array at a time."""

  def __init__(self, dim):
    self.w, self.state = np.zeros(dim), {}

  def sgd(self, g, rate):
    self.w -= rate * g

  def adagrad(self, g, rate, acc=0.1, decay=0.01):
    g = g + decay * self.w
    self.state["norm"] = self.state.get("norm", acc) + g * g
    self.w -= rate * g / np.sqrt(self.state["norm"])

  def adam(self, g, rate, beta1=0.9, beta2=0.99, epsilon=0.01, decay=0.001):
    t = self.state["t"] = self.state.get("t", 0) + 1
    g = g + decay * self.w
    self.state["m"] = beta1 * self.state.get("m", 0) + (1 - beta1) * g
    self.state["v"] = beta2 * self.state.get("v", 0) + (1 - beta2) * g * g
    alpha = rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    self.w -= alpha * self.state["m"] / (np.sqrt(self.state["v"]) + epsilon)

  def ftrl(self, g, rate, acc=0.1, beta=1.0, l1=0.05, l2=0.1):
    norm = self.state.get("norm", acc)
    after = norm + g * g
    zero = self.state.get("zero", 0) + g - (np.sqrt(after) - np.sqrt(norm)) / rate * self.w
    self.state.update(norm=after, zero=zero)
    moved = (np.sign(zero) * l1 - zero) / (np.sqrt(after) / rate + beta / rate + l2)
    self.w = np.where(np.abs(zero) > l1, moved, 0)


TWINS = {
  "sgd": entry.SgdOptimizer(),
  "adagrad": entry.AdagradOptimizer(initial_accumulator_value=0.1, weight_decay_factor=0.01),
  "adam": entry.AdamOptimizer(weight_decay_factor=0.001),
  "ftrl": entry.FtrlOptimizer(initial_accumulator_value=0.1, beta=1.0, l1_regularization=0.05, l2_regularization=0.1),
}


@pytest.mark.parametrize("dim", [1, 3, 19])
@pytest.mark.parametrize("name", TWINS)
def test_hundred_steps_follow_the_numpy_twin(name, dim):
  rate = 0.05
  table = MultiHashTable.from_configs({"slot": _config((dim, TWINS[name]), rates=[rate])})
  rng = np.random.default_rng(7)
  fids = [3, -8, 1 << 50]
  twins = {fid: Twin(dim) for fid in fids}
  for step in range(100):
    chosen = rng.choice(fids, size=2, replace=False)
    grads = rng.normal(size=(2, dim)).astype(np.float32)
    table = table.apply_gradients({"slot": (tf.constant(chosen), tf.constant(grads))}, tf.constant(step, tf.int64))
    for fid, grad in zip(chosen, grads.astype(np.float64)):
      getattr(twins[fid], name)(grad, rate)
  found = table.lookup({"slot": _ids(*fids)})["slot"].numpy()
  np.testing.assert_allclose(found, [twins[fid].w for fid in fids], atol=1e-5)


STEPS = [
  # optimizer, rate, [(gradients, expected)], atol
  (entry.SgdOptimizer(), 0.1, [([1.0], [-0.1])]),
  (
    entry.AdagradOptimizer(initial_accumulator_value=1),
    0.1,
    [([1.0, 2.0], [-0.0707107, -0.0894427]), ([1.0, 1.0], [-0.1284457, -0.1302676])],
  ),
  (
    entry.AdagradOptimizer(initial_accumulator_value=1, weight_decay_factor=0.1),
    0.1,
    [([1.0, 2.0], [-0.0707107, -0.0894427]), ([1.0, 2.0], [-0.128173, -0.155943])],
  ),
  (entry.AdagradOptimizer(initial_accumulator_value=0.1), 1.0, [([1.0], [-0.9534625]), ([1.0], [-1.643528])]),
  (
    entry.AdamOptimizer(),
    0.01,
    [
      ([10.0, 1.0], [-0.0099010, -0.0090909]),
      ([10.0, 1.0], [-0.0198306, -0.0184290]),
      ([-5.0, 0.0], [-0.0249605, -0.0256613]),
    ],
  ),
  (
    entry.AdamOptimizer(use_nesterov=True),
    0.01,
    [([10.0, 1.0], [-0.0188119, -0.0172727]), ([10.0, 1.0], [-0.0329746, -0.0305917])],
  ),
  (
    entry.FtrlOptimizer(),
    0.01,
    [([10.0, 1.0], [-0.009995, -0.0095346]), ([10.0, 1.0], [-0.0170643, -0.0164353])],
  ),
  (
    entry.FtrlOptimizer(beta=1, l1_regularization=0.5, l2_regularization=0.2),
    0.1,
    [([10.0, -1.0], [-0.0861678, 0.0241685])],
  ),
  (entry.FtrlOptimizer(l1_regularization=0.5), 0.1, [([0.4, -1.0], [0, 0.0476731])]),
]


@pytest.mark.parametrize("optimizer, rate, steps", STEPS)
def test_worked_cases_also_over_a_save_and_restore(optimizer, rate, steps, tmp_path):
  dim = len(steps[0][0])
  configs = {"slot": _config((dim, optimizer), rates=[rate])}
  table = MultiHashTable.from_configs(configs)
  for i, (grad, expected) in enumerate(steps):
    table = table.apply_gradients({"slot": (_ids(1 << 48), _floats([grad]))}, tf.constant(i, tf.int64))
    np.testing.assert_allclose(table.lookup({"slot": _ids(1 << 48)})["slot"], [expected], atol=1e-6)
    path = str(tmp_path / f"t{i}")
    table.save(path)
    table = MultiHashTable.from_configs(configs).restore(path)


def test_slices_have_their_own_optimizer_rate_and_state():
  slices = [
    (1, entry.AdagradOptimizer(initial_accumulator_value=1)),
    (2, entry.AdagradOptimizer(initial_accumulator_value=2)),
  ]
  table = MultiHashTable.from_configs({"slot": _config(*slices, rates=[1.0, 2.0])})
  grads = {"slot": (_ids(7), _floats([[1, 2, 3]]))}
  table = table.apply_gradients(grads, tf.constant(0, tf.int64))
  np.testing.assert_allclose(table.lookup({"slot": _ids(7)})["slot"], [[-0.7071068, -1.6329931, -1.8090681]], atol=1e-6)
  table = table.assign({"slot": (_ids(7), tf.zeros([1, 3]))})
  table = table.apply_gradients(grads, tf.constant(1, tf.int64))
  np.testing.assert_allclose(table.lookup({"slot": _ids(7)})["slot"], [[-0.5773503, -1.264911, -1.3416407]], atol=1e-6)


def _random_config(dim=4):
  uniform = entry.RandomUniformInitializer(-1, 1)
  return _config((dim, entry.AdagradOptimizer(initial_accumulator_value=0.1), uniform), rates=[0.1])


def _random_values(seed, fids, op_seed=None):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.set_random_seed(seed)
    for _ in range(op_seed or 0):
      tf.constant(0)  # other ops of the graph must not move the tables' values
    table = MultiHashTable.from_configs({"slot": _random_config()})
    session.run(table.initializer)
    table = table.assign_add({"slot": (_ids(*fids), tf.zeros([len(fids), 4]))})
    return session.run(table.lookup({"slot": _ids(*sorted(fids))})["slot"])


def test_initial_values_are_a_function_of_seed_and_fid():
  first = _random_values(11, [1, 2, 3, -4])
  np.testing.assert_array_equal(first, _random_values(11, [-4, 3, 1, 2], op_seed=5))
  assert not np.array_equal(first, _random_values(12, [1, 2, 3, -4]))
  assert len(np.unique(first)) == first.size and np.abs(first).max() <= 1


def test_initial_values_fill_their_range():
  values = _random_values(1, range(250))
  assert 0.9 < values.max() < 1 and -1 <= values.min() < -0.9 and abs(values.mean()) < 0.1


def _digest_of_a_training(threads, dedup):
  """Trains two tables for three steps of 21000 ids with repeats; returns a digest of all entries."""
  rng = np.random.default_rng(3)
  fids = rng.integers(0, 6000, size=21000)
  grads = rng.normal(size=(21000, 4)).astype(np.float32)
  config = tf.compat.v1.ConfigProto(inter_op_parallelism_threads=threads, intra_op_parallelism_threads=threads)
  with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
    tf.compat.v1.set_random_seed(1)
    table = MultiHashTable.from_configs({"a": _random_config(), "b": _random_config()})
    session.run(table.initializer)
    updates = {"a": (tf.constant(fids), tf.constant(grads)), "b": (tf.constant(fids[::2]), tf.constant(grads[::2]))}
    update = table.apply_gradients(updates, tf.constant(0, tf.int64), enable_dedup=dedup).as_op()
    for _ in range(3):
      session.run(update)
    ids = tf.range(6000, dtype=tf.int64)
    entries = session.run(table.lookup_entry({"a": ids, "b": ids}))
  assert all(e for e in entries["a"][np.unique(fids)])
  return hashlib.sha256(b"".join([*entries["a"], *entries["b"]])).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("dedup", [False, True])
def test_results_do_not_depend_on_the_number_of_threads(dedup):
  # In processes of their own: TensorFlow sizes its thread pool once a process.
  path = os.pathsep.join(filter(None, [str(pathlib.Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
  environment = {**os.environ, "PYTHONPATH": path}
  digests = set()
  for threads in (1, 4):
    command = [sys.executable, __file__, str(threads), str(int(dedup))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    digests.add(done.stdout.strip())
  assert len(digests) == 1 and len(digests.pop()) == 64


def test_concurrent_steps_of_a_session_all_count():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = MultiHashTable.from_configs({"slot": _sgd(1)})
    session.run(table.initializer)
    ids = tf.range(100, dtype=tf.int64)
    values = tf.cast(ids, tf.float32)
    ops = [table.assign_add({"slot": (ids, values)}).as_op() for _ in range(5)]
    ops += [table.apply_gradients({"slot": (ids, -values)}, tf.constant(0, tf.int64)).as_op() for _ in range(5)]
    session.run(ops)
    found = session.run(table.lookup({"slot": ids})["slot"])
    np.testing.assert_array_equal(found[:, 0], 10 * np.arange(100))


def test_unknown_slot_is_named_with_the_known_ones():
  table = MultiHashTable.from_configs({"item": _sgd(1), "user": _sgd(2)})
  pair = (_ids(1), _floats([[1]]))
  for call in (
    lambda: table.lookup({"usr": _ids(1)}),
    lambda: table.lookup_entry({"usr": _ids(1)}),
    lambda: table.assign({"usr": pair}),
    lambda: table.assign_add({"usr": pair}),
    lambda: table.apply_gradients({"usr": pair}, tf.constant(0, tf.int64)),
  ):
    with pytest.raises(KeyError, match="has slots item, user, not usr; add it to the configs"):
      call()


def test_table_without_slices_is_refused():
  with pytest.raises(ValueError, match="table 'item' has no slices; add at least one"):
    MultiHashTable.from_configs({"item": _config()})


def test_no_tables_at_all_are_refused():
  with pytest.raises(ValueError, match="configs is empty: a multi hash table needs at least one table"):
    MultiHashTable.from_configs({})


def test_learning_rate_count_must_be_the_slice_count():
  with pytest.raises(ValueError, match="table 'item' has 1 slices but 2 learning rates; give one for each slice"):
    MultiHashTable.from_configs({"item": _config((1, entry.SgdOptimizer()), rates=[1.0, 2.0])})
  with pytest.raises(ValueError, match="table 'item' has 1 slices but 0 learning rates"):
    MultiHashTable.from_configs({"item": _config((1, entry.SgdOptimizer()), rates=[])})


def test_constructor_needs_a_config():
  with pytest.raises(ValueError, match="use MultiHashTable.from_configs"):
    MultiHashTable()


@pytest.mark.parametrize(
  "change, message",
  [
    (lambda c: c.ClearField("cuckoo"), "table 'item': the table type is unset; set cuckoo"),
    (lambda c: setattr(c, "skip_zero_embedding", True), "skip_zero_embedding is for serving entries"),
    (
      lambda c: (setattr(c, "enable_feature_eviction", True), setattr(c, "feature_evict_every_n_hours", 0)),
      "table 'item': feature_evict_every_n_hours is 0; it must be at least 1, or enable_feature_eviction off",
    ),
    (lambda c: setattr(c.entry_config, "entry_type", 0), "entry_type is unknown; set TRAINING or SERVING"),
    (lambda c: c.entry_config.segments[0].ClearField("init_config"), "slice 0: the initializer is unset"),
    (lambda c: c.entry_config.segments[0].ClearField("opt_config"), "slice 0: the optimizer is unset"),
    (lambda c: c.slot_expire_time_config.slot_expire_times.add(slot=32768), "slot 32768: slots end at 32767"),
    (
      lambda c: c.entry_config.segments[0].init_config.random_uniform.MergeFrom(
        initializer_config_pb2.RandomUniformInitializerConfig(minval=1, maxval=0)
      ),
      "table 'item', slice 0: random_uniform: minval 1.* is above maxval 0.*; swap them",
    ),
    (lambda c: setattr(c.entry_config.segments[0], "dim_size", 0), "slice 0: dim_size is 0; it must be at least 1"),
    (lambda c: c.entry_config.segments[0].opt_config.dc.SetInParent(), "slice 0: dc: base is unset; set the optimizer"),
  ],
)
def test_bad_configs_are_refused_when_the_table_is_made(change, message):
  config = _sgd(1)
  change(config.table_config)
  with pytest.raises(InvalidArgument, match=message):
    MultiHashTable.from_configs({"item": config})


def test_tables_with_eviction_are_made_and_destroyed_at_once():
  config = _sgd(1)
  entry.CuckooHashTableConfig(feature_evict_every_n_hours=240).mutate_table(config.table_config)
  for _ in range(20):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      table = MultiHashTable.from_configs({"item": config, "kept": _sgd(1)})
      session.run(table.initializer)
      ids = tf.constant([1], tf.int64)
      found = session.run(table.assign({"item": (ids, tf.ones([1, 1]))}).lookup({"item": ids})["item"])
      assert found.tolist() == [[1]]


def test_unparsable_config_is_refused():
  from monolith.native_training import distributed_serving_ops, hash_filter_ops

  helpers = hash_filter_ops.create_dummy_hash_filter(), distributed_serving_ops.create_dummy_sync_client()
  with pytest.raises(InvalidArgument, match="'bad': config is no MultiEmbeddingHashTableConfig"):
    gen_monolith_ops.create_monolith_multi_hash_table(b"\xff\xff", *helpers, shared_name="bad")
  names_only = embedding_hash_table_pb2.MultiEmbeddingHashTableConfig(names=["a"]).SerializeToString()
  with pytest.raises(InvalidArgument, match="1 names for 0 configs"):
    gen_monolith_ops.create_monolith_multi_hash_table(names_only, *helpers, shared_name="bad")
  with pytest.raises(InvalidArgument, match="shared_name is empty"):
    gen_monolith_ops.create_monolith_multi_hash_table(names_only, *helpers)
  twins = embedding_hash_table_pb2.MultiEmbeddingHashTableConfig(names=["a", "a"], configs=[_sgd(1).table_config] * 2)
  with pytest.raises(InvalidArgument, match="two tables are named 'a'; give each its own name"):
    gen_monolith_ops.create_monolith_multi_hash_table(twins.SerializeToString(), *helpers, shared_name="bad")


def test_a_table_that_does_not_fit_the_memory_is_refused():
  config = _sgd(1)
  config.table_config.initial_capacity = 1 << 60
  with pytest.raises(tf.errors.ResourceExhaustedError, match="a table has run out of memory; free some, or spread it"):
    MultiHashTable.from_configs({"item": config})


def _optimize(table, ids=(1,), split=(0, 1, 1), value=(1.0,), rates=(1.0, 1.0), time=0, step=0):
  return gen_monolith_ops.monolith_multi_hash_table_optimize(
    table.handle, tf.constant(ids, tf.int64), tf.constant(split, tf.int64), value, rates,
    tf.constant(time, tf.int64), tf.constant(step, tf.int64),
  )  # fmt: skip


@pytest.mark.parametrize(
  "arguments, message",
  [
    ({"split": (0, 1)}, "id_split has 2 elements, but 2 tables need 3"),
    ({"split": (0, 1, 1, 1, 1)}, "id_split has 5 elements, but 2 tables need 3"),
    ({"split": ()}, "id_split is empty"),
    ({"split": (1, 1, 1)}, "id_split runs from 1 to 1, but there are 1 ids"),
    ({"split": (0, 1, 2)}, "id_split runs from 0 to 2, but there are 1 ids"),
    ({"split": (0, 2, 1)}, r"id_split decreases at 2 \(2 to 1\)"),
    ({"split": (0, -1, 1)}, r"id_split decreases at 1 \(0 to -1\)"),
    ({"value": (1.0, 2.0)}, "value has 2 floats, but the ids need 1"),
    ({"value": ()}, "value has 0 floats, but the ids need 1"),
    ({"rates": (1.0,)}, "learning_rate has 1 elements, but the tables have 2 slices"),
    ({"rates": (1.0, 1.0, 1.0)}, "learning_rate has 3 elements, but the tables have 2 slices"),
  ],
)
def test_wrong_sizes_are_refused_and_change_nothing(arguments, message):
  table = MultiHashTable.from_configs({"a": _sgd(1), "b": _sgd(2)})
  with pytest.raises(InvalidArgument, match=message):
    _optimize(table, **arguments)
  assert table.lookup_entry({"a": _ids(1), "b": _ids(1)})["a"].numpy().tolist() == [b""]


@pytest.mark.parametrize("arguments", [{"time": [0, 0]}, {"step": [0, 0]}, {"time": [0]}])
def test_eager_calls_refuse_vectors_for_scalars(arguments):
  table = MultiHashTable.from_configs({"a": _sgd(1), "b": _sgd(2)})
  with pytest.raises(InvalidArgument, match=r"(update_time|global_step) has shape \[\d\]; pass a scalar"):
    _optimize(table, **arguments)


def test_eager_file_calls_refuse_other_numbers_of_names(tmp_path):
  table = MultiHashTable.from_configs({"a": _sgd(1)})
  with pytest.raises(InvalidArgument, match=r"table_name has shape \[2\]; pass a scalar"):
    gen_monolith_ops.monolith_multi_hash_table_reinitialize(table.handle, ["a", "b"], _ids(1))
  for names in ([], [str(tmp_path / "x"), str(tmp_path / "y")]):
    with pytest.raises(InvalidArgument, match=f"basename has {len(names)} elements; save to one"):
      gen_monolith_ops.monolith_multi_hash_table_save(table.handle, tf.constant(names, tf.string))
  with pytest.raises(InvalidArgument, match="basename is empty; give the path of at least one"):
    table.restore(tf.constant([], tf.string))
  with pytest.raises(InvalidArgument, match=r"basename has shape \[0\]; pass a scalar"):
    table.feature_stat(tf.constant([], tf.string))


def test_shape_functions_declare_outputs():
  with tf.Graph().as_default():
    table = MultiHashTable.from_configs({"a": _sgd(1)})
    ids, split = tf.compat.v1.placeholder(tf.int64, [5]), _ids(0, 5)
    lookup = gen_monolith_ops.monolith_multi_hash_table_lookup(table.handle, ids, split)
    assert lookup.shape.as_list() == [None]
    entries = gen_monolith_ops.monolith_multi_hash_table_lookup_entry(table.handle, ids, split)
    assert entries.shape.as_list() == [5]
    _, status = table.reinitialize("a", ids)
    assert status.shape.as_list() == [5]
    names, counts = table.feature_stat("x")
    assert names.shape.rank == counts.shape.rank == 1
    assert gen_monolith_ops.is_hash_table_initialized(table.handle).shape == []


def test_uninitialised_table_is_not_found():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = MultiHashTable.from_configs({"a": _sgd(1)}, name_suffix="x")
    there = gen_monolith_ops.is_hash_table_initialized(table.handle)
    found = table.lookup({"a": _ids(1)})
    assert not session.run(there)
    with pytest.raises(tf.errors.NotFoundError, match="'MonolithMultiHashTable_x' has not been created; run its init"):
      session.run(found)
    session.run(table.initializer)
    assert session.run(there)
    session.run(found)


def test_tables_initializer_creates_the_tables():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = MultiHashTable.from_configs({"a": _sgd(1)})
    session.run(tf.compat.v1.tables_initializer())
    assert session.run(gen_monolith_ops.is_hash_table_initialized(table.handle))
    # Once more: the tables stay as they are.
    session.run(table.assign({"a": (_ids(1), _floats([[5]]))}).as_op())
    session.run(tf.compat.v1.tables_initializer())
    assert session.run(table.lookup({"a": _ids(1)})["a"]) == 5


def test_same_suffix_twice_in_a_graph_is_refused():
  with tf.Graph().as_default():
    MultiHashTable.from_configs({"a": _sgd(1)}, name_suffix="x")
    with pytest.raises(ValueError, match="'MonolithMultiHashTable_x' already; give this one another name_suffix"):
      MultiHashTable.from_configs({"a": _sgd(1)}, name_suffix="x")
    MultiHashTable.from_configs({"a": _sgd(1)}, name_suffix="y")


def test_eager_tables_of_one_suffix_are_apart():
  one = MultiHashTable.from_configs({"a": _sgd(1)})
  two = MultiHashTable.from_configs({"a": _sgd(1)})
  one.assign({"a": (_ids(1), _floats([[1]]))})
  assert two.lookup({"a": _ids(1)})["a"].numpy() == 0


def test_writes_are_not_merged_and_reads_are_ordered_after_them():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = MultiHashTable.from_configs({"a": _sgd(1)})
    session.run(table.initializer)
    updated = table
    for _ in range(10):
      updated = updated.assign_add({"a": (_ids(1), _floats([[1]]))})
    assert session.run(updated.lookup({"a": _ids(1)})["a"]) == 10


def test_meta_graph_round_trip():
  with tf.Graph().as_default():
    configs = {"a": _sgd(1, 0.5), "b": _config((1, entry.SgdOptimizer()), (1, entry.SgdOptimizer()), rates=[1.0, 2.0])}
    table = MultiHashTable.from_configs(configs, name_suffix="meta", saver_parallel=3)
    del table
    meta = tf.compat.v1.train.export_meta_graph()
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.train.import_meta_graph(meta, import_scope="imported", clear_devices=False)
    (table,) = tf.compat.v1.get_collection("monolith_multi_hash_tables")
    assert table.table_names == ["a", "b"] and table.get_table_dim_sizes() == [1, 2]
    assert table.shared_name == "MonolithMultiHashTable_meta" and table.saver_parallel == 3
    session.run(table.initializer)
    grads = {"a": (_ids(1), _floats([[1]])), "b": (_ids(1), _floats([[1, 1]]))}
    found = session.run(table.apply_gradients(grads, tf.constant(0, tf.int64)).lookup({"a": _ids(1), "b": _ids(1)}))
    assert found["a"].tolist() == [[-0.5]] and found["b"].tolist() == [[-1, -2]]


def test_to_proto_describes_and_honours_the_scope():
  with tf.Graph().as_default():
    with tf.name_scope("inner"):
      table = MultiHashTable.from_configs({"a": _sgd(3)}, name_suffix="p")
    proto = table.to_proto()
    assert list(proto.dims) == [3] and list(proto.table_names) == ["a"]
    assert proto.shared_name == "MonolithMultiHashTable_p"
    assert proto.handle_tensor.startswith("inner/") and proto.initializer_op.startswith("inner/")
    assert not table.to_proto("inner").handle_tensor.startswith("inner/")
    assert table.to_proto("elsewhere") is None
    assert table.to_proto("inn") is None
    again = MultiHashTable.from_proto(proto)
    assert again.handle is table.handle and again.to_proto() == proto


@pytest.mark.parametrize("scope", [None, "elsewhere"])
def test_tables_made_eagerly_have_no_proto(scope):
  with pytest.raises(ValueError, match="was made eagerly; only tables of a graph have a proto"):
    MultiHashTable.from_configs({"a": _sgd(1)}).to_proto(scope)


def test_the_op_of_an_eager_table_is_its_handle_and_orders_reads_in_functions():
  table = MultiHashTable.from_configs({"a": _sgd(1)})
  assert table.as_op("ignored") is table.handle

  @tf.function
  def write_then_read():
    updated = table.assign({"a": (_ids(1), _floats([[5]]))})
    with tf.control_dependencies([table.as_op(), updated.as_op()]):
      return table.lookup({"a": _ids(1)})["a"]

  assert write_then_read() == 5


def test_export_builds_serving_tables(tmp_path):
  path = str(tmp_path / "t")
  configs = {"a": _config((2, entry.AdagradOptimizer(initial_accumulator_value=1)))}
  MultiHashTable.from_configs(configs).assign({"a": (_ids(1), _floats([[1, 2]]))}).save(path)
  with export_context.enter_export_mode(export_context.ExportMode.STANDALONE):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      table = MultiHashTable.from_configs(configs)
      session.run(table.initializer)
      session.run(table.restore(path).as_op())
      assert session.run(table.lookup({"a": _ids(1)}))["a"].tolist() == [[1, 2]]
      dump = embedding_hash_table_pb2.EntryDump.FromString(session.run(table.lookup_entry({"a": _ids(1)}))["a"][0])
      assert list(dump.num) == [1, 2] and not dump.opt.dump
      train = table.apply_gradients({"a": (_ids(1), _floats([[1, 1]]))}, tf.constant(0, tf.int64)).as_op()
      with pytest.raises(InvalidArgument, match="table 'a' has serving entries, which hold no optimizer state"):
        session.run(train)
  assert configs["a"].table_config.entry_config.entry_type == embedding_hash_table_pb2.EntryConfig.TRAINING


def test_helpers():
  ragged = multi_hash_table_ops.concat_1d_tensors(_ids(1, 2), _ids(), _ids(3))
  assert ragged.to_list() == [[1, 2], [], [3]]
  flat = multi_hash_table_ops.flatten_n_tensors(tf.ones([2, 2]), tf.zeros([1]))
  assert flat.numpy().tolist() == [1, 1, 1, 1, 0]
  parts = multi_hash_table_ops.get_list_from_flat_value(ragged, [1, 2, 3], tf.range(5.0))
  assert [p.numpy().tolist() for p in parts] == [[[0], [1]], [], [[2, 3, 4]]]
  assert multi_hash_table_ops.infer_dims({"b": _sgd(2), "a": _sgd(1)}) == [1, 2]
  for helper in (multi_hash_table_ops.concat_1d_tensors, multi_hash_table_ops.flatten_n_tensors):
    with pytest.raises(ValueError, match="no tensors; pass at least one"):
      helper()


if __name__ == "__main__":
  print(_digest_of_a_training(int(sys.argv[1]), bool(int(sys.argv[2]))))
