# SPDX-License-Identifier: Apache-2.0
"""Graphs of a trainer's models, and what their tensors are under a checkpoint, for tests."""

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training import _training_hooks, save_utils

v1 = tf.compat.v1


def new_graph():
  """A graph of resource variables, as the default one."""
  graph = tf.Graph()
  with graph.as_default():
    v1.get_variable_scope().set_use_resource(True)
  return graph.as_default()


def values(directory, tensors, hooks, steps=4, feed=None):
  """What tensors of the default graph are in some steps, with variables and tables of a checkpoint."""
  path = save_utils.latest_checkpoint(directory)
  save_utils.set_checkpoint_to_restore(path)
  v1.train.get_or_create_global_step()
  creator = v1.train.ChiefSessionCreator(checkpoint_filename_with_path=path)
  hooks = [*hooks, _training_hooks.restore_hook(directory)]
  with v1.train.MonitoredSession(session_creator=creator, hooks=hooks) as session:
    return [session.run(tensors, feed) for _ in range(steps)]
