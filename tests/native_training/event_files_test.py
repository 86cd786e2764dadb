# SPDX-License-Identifier: Apache-2.0
"""Event files have names of their own, whatever second they are made in."""

from __future__ import annotations

import os

import pytest

import event_files

from monolith.native_training import _event_files, tf_estimator

import tensorflow as tf  # isort: skip


def _names_without_seconds(logdir):
  """What tells the files apart if all are made within one second: events.out.tfevents.<second>.<rest>."""
  return [name.split(".", 4)[4] for name in os.listdir(logdir) if name.startswith("events.out.tfevents.")]


def _tags(logdir):
  """The tags of all summaries, file by file."""
  paths = sorted(os.path.join(logdir, name) for name in os.listdir(logdir))
  return [[value.tag for event in event_files.events(path) for value in event.summary.value] for path in paths]


def _add(writer, tag):
  summary = tf.compat.v1.Summary()
  summary.value.add(tag=tag, simple_value=1.0)
  writer.add_summary(summary, 1)


@pytest.fixture
def logdir(tmp_path):
  yield str(tmp_path)
  tf.compat.v1.summary.FileWriterCache.clear()


def test_writers_have_files_of_their_own(logdir):
  with tf.Graph().as_default():
    for tag in "abc":
      writer = _event_files.new_writer(logdir)
      _add(writer, tag)
      writer.close()
  names = _names_without_seconds(logdir)
  assert len(set(names)) == 3
  assert all(str(os.getpid()) in name.split(".") for name in names)
  assert _tags(logdir) == [["a"], ["b"], ["c"]]


def test_the_shared_writer_is_tensorflows(logdir):
  with tf.Graph().as_default():
    writer = _event_files.shared_writer(logdir)
    assert writer is _event_files.shared_writer(logdir)
    assert writer is tf.compat.v1.summary.FileWriterCache.get(logdir)


def test_a_renewed_writer_is_the_same_with_another_file(logdir):
  with tf.Graph().as_default():
    writer = _event_files.renewed_writer(logdir)
    _add(writer, "first run")
    writer.close()
    assert _event_files.renewed_writer(logdir) is writer
    _add(writer, "second run")
    assert _event_files.renewed_writer(logdir) is writer  # though nobody closed it
    _add(writer, "third run")
    writer.close()
  assert len(set(_names_without_seconds(logdir))) == 3
  assert _tags(logdir) == [["first run"], ["second run"], ["third run"]]


def _model_fn(features, mode):
  w = tf.compat.v1.get_variable("w", [], initializer=tf.compat.v1.zeros_initializer())
  loss = tf.reduce_mean(features * w)
  with tf.control_dependencies([loss]):
    train_op = tf.group(w.assign_add(1.0), tf.compat.v1.train.get_global_step().assign_add(1))
  return tf_estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


def test_runs_and_evaluations_of_one_second_keep_their_files(logdir):
  def input_fn():
    return tf.data.Dataset.from_tensors(tf.ones([2]))

  config = tf_estimator.RunConfig(model_dir=logdir, save_summary_steps=1)
  estimator = tf_estimator.Estimator(_model_fn, config=config)
  for _ in range(2):
    estimator.train(input_fn, steps=1)
    estimator.evaluate(input_fn)
  for directory in (logdir, os.path.join(logdir, "eval")):
    names = _names_without_seconds(directory)
    assert len(names) == len(set(names)) == 2
  assert len(event_files.losses(logdir)) == 2
