# SPDX-License-Identifier: Apache-2.0
"""Writes the graph of a SavedModel for TensorBoard.

python -m monolith.native_training.model_export.saved_model_visulizer \
  --model_dir=exported_models/1700000000/saved_model.pb --log_dir=/tmp/graph
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, Optional

from absl import app, flags

# The graph's ops must be known when it is imported.
import monolith.native_training.runtime.ops.gen_monolith_ops  # noqa: F401

import tensorflow as tf  # isort: skip
from tensorflow.core.protobuf import saved_model_pb2

from monolith.native_training import _event_files, _proto_files
from monolith.native_training.model_export import _tool_flags

__all__ = ["import_to_tensorboard", "main"]


def import_to_tensorboard(model_dir: str, log_dir: str) -> None:
  """Writes the graph of a SavedModel as an event file, and prints how to look at it.

  Args:
    model_dir: the file `saved_model.pb`, or the directory that it is in.
    log_dir: where the event file goes.

  Raises:
    SystemExit: with code 1, the model has several graphs, which is printed.
    ValueError: the file is no SavedModel, or one without a graph.
    tf.errors.NotFoundError: there is no such file.
  """
  path = os.path.join(model_dir, "saved_model.pb") if tf.io.gfile.isdir(model_dir) else model_dir
  saved_model = _proto_files.read_proto(path, saved_model_pb2.SavedModel(), "; give what tf.saved_model.save wrote.")
  if not saved_model.meta_graphs:
    raise ValueError(f"{path} is no serialized SavedModel, or one without a graph.")
  if len(saved_model.meta_graphs) > 1:
    tags = [",".join(graph.meta_info_def.tags) for graph in saved_model.meta_graphs]
    print(f"{path} has {len(tags)} graphs, with tags {'; '.join(tags)}; one can be shown.")
    sys.exit(1)
  with tf.Graph().as_default() as graph:
    tf.import_graph_def(saved_model.meta_graphs[0].graph_def, name="")
    _event_files.new_writer(log_dir, graph).close()
  print(f"the graph is in {log_dir}; look at it by: tensorboard --logdir={log_dir}")


def _parse(argv: List[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(prog=argv[0], description="Writes the graph of a SavedModel for TensorBoard.")
  parser.add_argument("--model_dir", required=True, help="The file saved_model.pb, or its directory.")
  parser.add_argument("--log_dir", required=True, help="Where the event file goes.")
  arguments, rest = parser.parse_known_args(argv[1:])
  _tool_flags.refuse_arguments(flags.FLAGS([argv[0], *rest]))  # absl's own flags, such as --verbosity
  return arguments


def main(arguments: argparse.Namespace) -> Optional[int]:
  """Writes the graph that the command line names."""
  import_to_tensorboard(arguments.model_dir, arguments.log_dir)
  return None


if __name__ == "__main__":
  app.run(main, flags_parser=_parse)
