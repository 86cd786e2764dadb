# SPDX-License-Identifier: Apache-2.0
"""Saved pools of items."""

import json

import pytest

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.native_training.data import feature_utils as fu
from monolith.native_training.data.datasets import NegativeGenDataset


def new_pool(start_num=0, most=50):
  return fu.create_item_pool(start_num, most)


def worker(monkeypatch, index, workers, chief=False):
  """Makes this process worker `index` of a cluster with a chief and so many workers."""
  task = {"type": "chief", "index": 0} if chief else {"type": "worker", "index": index}
  cluster = {"chief": ["a:1"], "worker": [f"w{i}:1" for i in range(workers)]}
  monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))


@pytest.mark.parametrize("nshards", [1, 3])
def test_round_trips(tmp_path, nshards):
  pool = fu.item_pool_random_fill(new_pool())
  fu.save_item_pool(pool, 7, str(tmp_path), nshards)
  assert sorted(p.name for p in tmp_path.iterdir()) == [f"model.ckpt-7_item_pool_0_{s}_1" for s in range(nshards)]
  fu.item_pool_check(pool, str(tmp_path), 7, nshards)
  other = new_pool()
  with pytest.raises(tf.errors.FailedPreconditionError, match="ItemPoolCheck: the pool saved in .* is another one"):
    fu.item_pool_check(other, str(tmp_path), 7, nshards)
  fu.item_pool_check(fu.restore_item_pool(other, 7, str(tmp_path), nshards), str(tmp_path), 7, nshards)
  with pytest.raises(tf.errors.FailedPreconditionError, match="is missing"):
    fu.item_pool_check(other, str(tmp_path / "none"), 7)


def test_files_are_messages(tmp_path):
  example = example_pb2.Example(label=[1.0])
  example.line_id.item_id = 2**64 - 3
  column = example.named_feature.add(name="item", id=4)
  column.feature.fid_v2_list.value.append(5)
  serialized = [example.SerializeToString()] * 2
  dataset = NegativeGenDataset(
    tf.data.Dataset.from_tensor_slices(serialized).map(fu.string_to_variant), 3, item_features=["item"], start_num=0
  )
  assert len(list(dataset)) == 8
  fu.save_item_pool(dataset.pool, 1, str(tmp_path))
  (record,) = tf.data.TFRecordDataset(str(tmp_path / "model.ckpt-1_item_pool_0_0_1"))
  item = example_pb2.FeatureData(gid=-3, feature_columns=[column], origin_cnt=2, sample_cnt=6)
  assert example_pb2.ChannelCache.FromString(record.numpy()) == example_pb2.ChannelCache(
    channel_id=3, feature_datas=[item]
  )


def test_pools_written_elsewhere(tmp_path):
  caches = [
    example_pb2.ChannelCache(
      channel_id=c, feature_datas=[example_pb2.FeatureData(gid=g, fids=[g, -1]) for g in range(80)]
    )
    for c in (1, 2)
  ]
  with tf.io.TFRecordWriter(str(tmp_path / "item_pool_0_0_1")) as writer:
    for cache in caches:
      writer.write(cache.SerializeToString())
  pool = fu.restore_item_pool(new_pool(most=50), 9, str(tmp_path))
  fu.save_item_pool(pool, 3, str(tmp_path / "again"))
  saved = tf.data.TFRecordDataset(str(tmp_path / "again" / "model.ckpt-3_item_pool_0_0_1"))
  for cache, record in zip(caches, saved, strict=True):
    del cache.feature_datas[:30]  # the newest fit
    assert example_pb2.ChannelCache.FromString(record.numpy()) == cache


def test_which_step_and_worker(tmp_path, monkeypatch):
  pools = {}
  for step, workers in ((5, 1), (10, 2), (30, 0)):
    for index in range(-1, workers):
      worker(monkeypatch, index, workers, chief=index < 0)
      pools[step, index + 1] = fu.item_pool_random_fill(new_pool())
      fu.save_item_pool(pools[step, index + 1], step, str(tmp_path))
  (tmp_path / "model.ckpt-12_item_pool_0_0_1-tmp-123").write_bytes(b"x")
  (tmp_path / "model.ckpt-12_item_pool_0_0_1_tmp").write_bytes(b"x")
  assert (tmp_path / "model.ckpt-10_item_pool_2_0_3").exists()

  def restored(step):
    return fu.restore_item_pool(new_pool(), step, str(tmp_path))

  for index, workers, step, expected in (
    (0, 1, 10, (10, 1)),
    (1, 2, 29, (10, 2)),
    (2, 3, 10, (10, 0)),
    (1, 2, 9, (5, 0)),
  ):
    worker(monkeypatch, index, workers)
    pool = restored(step)
    monkeypatch.delenv("TF_CONFIG")
    fu.save_item_pool(pool, 1, str(tmp_path / "copy"))
    fu.item_pool_check(pools[expected], str(tmp_path / "copy"), 1)
  monkeypatch.delenv("TF_CONFIG", raising=False)
  (tmp_path / "model.ckpt-30_item_pool_0_0_1").rename(tmp_path / "model.ckpt-30_item_pool_1_0_2")
  pool = restored(40)
  fu.save_item_pool(pool, 1, str(tmp_path / "copy"))
  fu.item_pool_check(pools[10, 0], str(tmp_path / "copy"), 1)


def test_damage_changes_nothing(tmp_path):
  pool = fu.item_pool_random_fill(new_pool())
  fu.save_item_pool(pool, 1, str(tmp_path / "good"))
  for name, content in (("cut", None), ("other", b"\xff\xff")):
    path = tmp_path / name / "model.ckpt-2_item_pool_0_0_1"
    path.parent.mkdir()
    if content is None:
      whole = (tmp_path / "good" / "model.ckpt-1_item_pool_0_0_1").read_bytes()
      path.write_bytes(whole[: len(whole) // 2])
    else:
      with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(content)
    with pytest.raises(tf.errors.DataLossError, match="the item pool .*model.ckpt-2_item_pool_0_0_1 is damaged"):
      fu.restore_item_pool(pool, 2, str(path.parent))
  fu.item_pool_check(pool, str(tmp_path / "good"), 1)


def test_no_files_leave_the_pool(tmp_path):
  pool = fu.item_pool_random_fill(new_pool())
  fu.save_item_pool(pool, 5, str(tmp_path))
  fu.restore_item_pool(pool, 4, str(tmp_path))
  fu.restore_item_pool(pool, 5, str(tmp_path / "none"))
  fu.item_pool_check(pool, str(tmp_path), 5)


def test_refusals(tmp_path):
  pool = new_pool()
  for call, words in (
    (lambda: fu.save_item_pool(pool, 1, ""), "ItemPoolSave: model_path is empty"),
    (lambda: fu.save_item_pool(pool, 1, str(tmp_path), 0), r"nshards is 0; it must be in \[1, 1024\]"),
    (lambda: fu.restore_item_pool(pool, 1, ""), "ItemPoolRestore: model_path is empty"),
    (
      lambda: fu.restore_item_pool(pool, 1, str(tmp_path), buffer_size=0),
      "buffer_size is 0; it must be at least 1 byte",
    ),
    (lambda: fu.save_item_pool(pool, [1], str(tmp_path)), r"ItemPoolSave: global_step has shape \[1\]; pass a scalar"),
  ):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
      call()
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be rank 0"):
    fu.save_item_pool(fu.create_item_pool(0, 1), [1], "x")
