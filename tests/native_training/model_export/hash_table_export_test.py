# SPDX-License-Identifier: Apache-2.0
"""One-slot tables in standalone exports: restored from assets or where they are, assigned to by a signature."""

import os

from monolith.native_training import hash_table_ops
from monolith.native_training import test_utils
from monolith.native_training import tf_estimator
from monolith.native_training.model_export import saved_model_exporters

import numpy as np
import pytest
import tensorflow as tf

DEFAULT = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
_FIDS = np.array([0, 1, 2, 3, -1], np.int64)


def _shard_of(fid, num_shards):
  return int(np.uint64(np.int64(fid))) % num_shards


class _Model:
  """A table of dim 2, on servers a shard each; fid f = [f, 10 f]."""

  def __init__(self, num_ps, share=None):
    self.num_ps = num_ps
    self.share = share

  def tables(self):
    config = test_utils.generate_test_hash_table_config(2)
    if not self.num_ps:
      return [hash_table_ops.hash_table_from_config(config, name_suffix="user")]
    tables = []
    for ps in range(self.num_ps):
      with tf.device(f"/job:ps/task:{ps}"):
        tables.append(hash_table_ops.hash_table_from_config(config, name_suffix=f"user_{ps}"))
    return tables

  def __call__(self, features, mode, config):
    del features, config
    rows = []
    for table in self.tables():
      table.export_share_embedding = self.share
      rows.append(table.lookup(tf.constant(_FIDS)))
    return tf_estimator.EstimatorSpec(mode, predictions=tf.add_n(rows))


def _train(num_ps, model_dir):
  with tf.Graph().as_default():
    step = tf.compat.v1.train.create_global_step()
    tables = _Model(num_ps).tables()
    updates = []
    for number, table in enumerate(tables):
      own = [int(fid) for fid in _FIDS if _shard_of(fid, len(tables)) == number]
      updates.append(table.assign(own, [[fid, 10.0 * fid] for fid in own]).as_op())
    listener = hash_table_ops.HashTableCheckpointSaverListener(os.path.join(model_dir, "model.ckpt"))
    listener.begin()
    saver = tf.compat.v1.train.Saver()
    with test_utils.ps_session(num_ps) if num_ps else tf.compat.v1.Session() as sess:
      sess.run(tf.compat.v1.global_variables_initializer())
      sess.run([update.op for update in updates])
      sess.run(tf.compat.v1.assign(step, 10))
      listener.before_save(sess, 10)
      saver.save(sess, os.path.join(model_dir, "model.ckpt"), 10)


def _receiver():
  return tf_estimator.export.ServingInputReceiver({}, {"instances": tf.compat.v1.placeholder(tf.string, [None])})


def _export(model, tmp_path, **kwargs):
  exporter = saved_model_exporters.StandaloneExporter(
    model, str(tmp_path / "model"), str(tmp_path / "export"), **kwargs
  )
  return exporter.export_saved_model(_receiver).decode()


def _run(path, *calls):
  """What each (signature, output, {input: value}) gives, in one session."""
  with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
    signatures = tf.compat.v1.saved_model.load(sess, ["serve"], path).signature_def
    results = []
    for key, output, feeds in calls:
      signature = signatures[key]
      results.append(
        sess.run(signature.outputs[output].name, {signature.inputs[name].name: v for name, v in feeds.items()})
      )
    return results


_EXPECTED = [[fid, 10 * fid] for fid in _FIDS]
_PREDICT = (DEFAULT, "output", {})


@pytest.mark.parametrize("num_ps", [0, 1, 2])
def test_moved_export_predicts_from_its_own_files(tmp_path, num_ps):
  _train(num_ps, str(tmp_path / "model"))
  path = _export(_Model(num_ps), tmp_path)
  os.rename(path, tmp_path / "moved")
  os.rename(tmp_path / "model", tmp_path / "gone")
  np.testing.assert_allclose(_run(str(tmp_path / "moved"), _PREDICT)[0], _EXPECTED)


@pytest.mark.parametrize("saved, exported", [(2, 1), (1, 2), (2, 3), (3, 2)])
def test_another_number_of_servers_than_saved(tmp_path, saved, exported):
  _train(saved, str(tmp_path / "model"))
  np.testing.assert_allclose(_run(_export(_Model(exported), tmp_path), _PREDICT)[0], _EXPECTED)


@pytest.mark.parametrize(
  "of_table, of_exporter, shared", [(None, True, True), (True, False, True), (False, True, False)]
)
def test_table_says_whether_files_are_shared_or_else_the_exporter(tmp_path, of_table, of_exporter, shared):
  _train(0, str(tmp_path / "model"))
  path = _export(_Model(0, of_table), tmp_path, shared_embedding=of_exporter)
  copied = os.path.isdir(os.path.join(path, "assets")) and os.listdir(os.path.join(path, "assets"))
  assert bool(copied) is not shared
  np.testing.assert_allclose(_run(path, _PREDICT)[0], _EXPECTED)


def test_signature_assigns_rows_to_each_table(tmp_path):
  _train(2, str(tmp_path / "model"))
  path = _export(_Model(2), tmp_path)
  name = "MonolithHashTable_user_0"
  feeds = {f"{name}_id": [2, 8], f"{name}_value": [[5.0, 6.0], [7.0, 8.0]]}
  before, count, after = _run(path, _PREDICT, ("hashtable_assign", f"{name}_result", feeds), _PREDICT)
  np.testing.assert_allclose(before, _EXPECTED)
  assert count == 2 and count.dtype == np.int32
  np.testing.assert_allclose(after, [[5, 6] if fid == 2 else [fid, 10 * fid] for fid in _FIDS])


def test_checkpoint_without_the_table_is_refused(tmp_path):
  _train(0, str(tmp_path / "model"))
  for name in os.listdir(tmp_path / "model" / "model.ckpt-10.assets"):
    os.remove(tmp_path / "model" / "model.ckpt-10.assets" / name)
  with pytest.raises(ValueError, match="holds nothing of hash table 'MonolithHashTable_user'"):
    _export(_Model(0), tmp_path)
