# SPDX-License-Identifier: Apache-2.0
"""Graphs of SavedModels in event files."""

import os
import subprocess
import sys

import pytest

from monolith.native_training.model_export import saved_model_visulizer

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2


def _write(path, *tags):
  with tf.Graph().as_default() as graph:
    tf.add(tf.compat.v1.placeholder(tf.float32, [None], name="x"), 1.0, name="sum")
    graph_def = graph.as_graph_def()
  saved_model = saved_model_pb2.SavedModel()
  for tag in tags:
    meta_graph = saved_model.meta_graphs.add()
    meta_graph.graph_def.CopyFrom(graph_def)
    meta_graph.meta_info_def.tags.append(tag)
  path.mkdir()
  (path / "saved_model.pb").write_bytes(saved_model.SerializeToString())


def _nodes(log_dir):
  (name,) = os.listdir(log_dir)
  events = list(tf.compat.v1.train.summary_iterator(os.path.join(log_dir, name)))
  (written,) = [event.graph_def for event in events if event.graph_def]
  return {node.name: node.op for node in tf.compat.v1.GraphDef.FromString(written).node}


@pytest.mark.parametrize("name", ["", "saved_model.pb"])
def test_the_graph_is_written(tmp_path, capsys, name):
  _write(tmp_path / "model", "serve")
  log_dir = str(tmp_path / "logs")
  saved_model_visulizer.import_to_tensorboard(str(tmp_path / "model" / name), log_dir)
  assert _nodes(log_dir) == {"x": "Placeholder", "sum/y": "Const", "sum": "AddV2"}
  assert f"tensorboard --logdir={log_dir}" in capsys.readouterr().out


def test_the_program(tmp_path):
  _write(tmp_path / "model", "serve")
  arguments = [f"--model_dir={tmp_path / 'model'}", f"--log_dir={tmp_path / 'logs'}"]
  command = [sys.executable, "-m", saved_model_visulizer.__name__]
  subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
  assert "sum" in _nodes(tmp_path / "logs")
  done = subprocess.run([*command, arguments[0]], capture_output=True, text=True, check=False)
  assert done.returncode == 2 and "--log_dir" in done.stderr


def test_models_of_several_graphs_end_the_program(tmp_path, capsys):
  _write(tmp_path / "model", "serve", "train")
  with pytest.raises(SystemExit) as exit_:
    saved_model_visulizer.import_to_tensorboard(str(tmp_path / "model"), str(tmp_path / "logs"))
  assert exit_.value.code == 1 and "2 graphs, with tags serve; train" in capsys.readouterr().out
  assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("content", [b"\xff\xff", b""])
def test_files_that_are_no_models(tmp_path, content):
  (tmp_path / "saved_model.pb").write_bytes(content)
  with pytest.raises(ValueError, match="saved_model.pb is no serialized SavedModel"):
    saved_model_visulizer.import_to_tensorboard(str(tmp_path), str(tmp_path / "logs"))
