# SPDX-License-Identifier: Apache-2.0
"""How many of the fids that are looked up tables of serving entries have, as the log tells it."""

from monolith.native_training import fused_embedding, hash_table_ops, multi_hash_table_ops, test_utils
from monolith.native_training.embedding_combiners import FirstN, ReduceMean, ReduceSum
from monolith.native_training.fused_embedding import Feature, Layout, Slice
from monolith.native_training.model_export import export_context

import contextlib
import os
import pathlib
import re
import subprocess
import sys

import pytest
import tensorflow as tf

NUM_MANY = 20000


def _ids(*values):
  return tf.constant(values, tf.int64)


def _single(name, lookup):
  table = hash_table_ops.test_hash_table(2, name_suffix=name).assign([1, 2], tf.ones([2, 2]))
  lookup(table)


def _multi(name, lookup):
  """Tables `<name>_full`, which has the fids 1 and 2, and `<name>_empty`."""
  full, empty = f"{name}_full", f"{name}_empty"
  config = test_utils.generate_test_hash_table_config(2)
  table = multi_hash_table_ops.MultiHashTable.from_configs({full: config, empty: config})
  lookup(table.assign({full: (_ids(1, 2), tf.ones([2, 2]))}), full, empty)


def _combined(table, full, empty):
  ragged = tf.RaggedTensor.from_row_lengths(_ids(1, 7, 2, 1, 7), [2, 0, 3])
  features = [
    Feature("sum", full, [Slice("pooled", 2)], ReduceSum()),
    Feature("mean", full, [Slice("pooled", 2)], ReduceMean()),
    Feature("first", full, [Slice("sequence", 2)], FirstN(1)),  # looks up 1 and 2 of five fids
    Feature("one", empty, [Slice("pooled", 2)], ReduceSum()),
  ]
  ids = {"sum": ragged, "mean": ragged, "first": ragged, "one": _ids(1, 2, 3)}
  fused_embedding.combined_lookup(table, Layout(features), ids)


def _many(table):
  ids = tf.where(tf.range(NUM_MANY) % 4 == 0, tf.ones([NUM_MANY], tf.int64), 9)
  table.lookup(ids, use_multi_threads=True)
  table.lookup(_ids())  # of no fids there is no rate


# Kind of lookup -> what it does, and the rates of the tables that it names, by their fids: [(how often, mean)].
SINGLES = {
  "alone": (lambda table: [table.lookup(_ids(1, 2, 3, 1)), table.lookup(_ids(9))], (2, 0.375)),
  "many": (_many, (1, 0.25)),
  "fused_alone": (
    lambda table: hash_table_ops.fused_lookup([table], _ids(1, 7, 2, 2), tf.constant([1, 3]), 2),
    (1, 0.75),
  ),
}
MULTIS = {
  "raw": (lambda t, full, empty: t.raw_lookup(t.get_ragged_id({full: _ids(1, 7), empty: _ids(1)})), 1 / 2, 1 / 3),
  "slots": (lambda t, full, empty: t.lookup({full: _ids(1, 2, 7, 8, 9), empty: _ids()}), 2 / 5, 2 / 5),
  "fused": (
    lambda t, full, empty: t.fused_lookup(_ids(5, 1, 5, 2), tf.constant([1, 1, 1, 1]), 2),  # the empty one comes first
    1.0,
    1 / 2,
  ),
  "combined": (_combined, 8 / 12, 8 / 15),
}


def _child():
  for serving in (True, False):
    export = export_context.enter_export_mode(export_context.ExportMode.STANDALONE)
    with export if serving else contextlib.nullcontext():
      prefix = "" if serving else "training_"
      for name, (lookup, *_) in SINGLES.items():
        _single(prefix + name, lookup)
      for name, (lookup, *_) in MULTIS.items():
        _multi(prefix + name, lookup)


@pytest.fixture(scope="module")
def log():
  """{name: (how many values, mean)} of the last minutes, and all the text."""
  path = os.pathsep.join(filter(None, [str(pathlib.Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
  environment = {
    **os.environ, "PYTHONPATH": path, "MONOLITH_TIMER_REPORT_SECONDS": "0", "TF_CPP_MIN_LOG_LEVEL": "0"
  }  # fmt: skip
  done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr[-2000:]
  pattern = r"lookup_fid_hit_rate\{name=(\S+)\} \|.* 15 min: (\d+) values, mean ([\d.e-]+),"
  # Every line tells all so far: the last one counts.
  rates = {name: (int(count), float(mean)) for name, count, mean in re.findall(pattern, done.stderr)}
  return rates, done.stderr


def _of(rates, name):
  (found,) = (value for key, value in rates.items() if key == name or key.startswith(f"MonolithHashTable_{name}/"))
  return found


@pytest.mark.parametrize("name", SINGLES)
def test_single_tables(log, name):
  count, mean = SINGLES[name][1]
  assert _of(log[0], name) == (count, pytest.approx(mean, rel=1e-5))


@pytest.mark.parametrize("name", MULTIS)
def test_multi_tables(log, name):
  assert _of(log[0], f"{name}_full") == (1, pytest.approx(MULTIS[name][1], rel=1e-5))
  assert log[0].get(f"{name}_empty") == (None if name == "slots" else (1, 0))


def test_all_tables_of_each_call_together(log):
  together = [each[2] for each in MULTIS.values()]
  assert log[0]["all"] == (len(together), pytest.approx(sum(together) / len(together), rel=1e-5))


def test_tables_that_train_are_not_counted(log):
  assert "training_" not in log[1]


if __name__ == "__main__":
  _child()
