# SPDX-License-Identifier: Apache-2.0
"""When a model is dumped: its graph of serving is built for it, that of training is noted as the trainer builds it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from typing import Any, Iterator, Mapping

import tensorflow as tf
from absl import logging

from monolith.native_training import _flags, tf_estimator
from monolith.native_training._estimator_inputs import call_with_accepted
from monolith.native_training._layout_step import parser_type_of_graph
from monolith.native_training.model_dump.dump_utils import DumpUtils

__all__ = ["FILE_NAME", "noted_training", "note_input", "note_spec"]

FILE_NAME = "model_dump"
"""Name of the dump in a model's directory."""


def note_input(features: Any, labels: Any) -> None:
  """Notes the input of the default graph, unless that is a serving input, which its receiver function notes."""
  dump = DumpUtils()
  if dump.enable and dump.need_record and not dump.model_dump.HasField("serving_input_receiver_fn"):
    dump.add_input_fn((features, labels), parser_type_of_graph())


def note_spec(task: Any, mode: str, features: Any, labels: Any, spec: Any) -> None:
  """Notes the spec of a task's model function, where that has not noted what it made."""
  dump = DumpUtils()
  if dump.enable and dump.need_record and not dump.model_dump.HasField("model_fn"):
    pred = spec.predictions
    several = isinstance(pred, Mapping)
    named = None if pred is None or several else "predictions"
    # A lone label of several heads is nobody's.
    label = labels if isinstance(labels, Mapping) == several and pred is not None else None
    dump.add_model_fn(task, mode, features, label, spec.loss, pred, named, False)
    # The loss of such a task is all of it, whatever its layers have registered.
    del dump.model_dump.model_fn.extra_losses[:]


@contextlib.contextmanager
def noted_training(training: Any, config: Any, model_dir: str) -> Iterator[None]:
  """Inside the block the graphs that a training builds are noted; after it the dump is written into `model_dir`.

  Nothing happens unless settings or flag say `enable_model_dump`. A block that fails, or finds that the training
  is done already, writes no dump.

  Args:
    training: the `CpuTraining`.
    config: its settings.
    model_dir: directory of the dump.

  Raises:
    ValueError: the model has something that dumps cannot hold.
  """
  if not (config.enable_model_dump or _flags.flag_value("enable_model_dump", False)):
    yield
    return
  dump = DumpUtils()
  dump.reset()
  dump.enable = True
  try:
    dump.add_config(json.dumps(dataclasses.asdict(config), sort_keys=True, default=str))
    configs = training.feature_configs
    dump.table_configs = configs.table_to_config
    dump.feature_slice_dims = configs.feature_to_unmerged_slice_dims
    dump.feature_combiners = configs.feature_to_combiner
    # First, so that what a dump cannot hold is refused before the training.
    _note_serving(training, model_dir)
    yield
    if dump.train is None:
      logging.info("Nothing was trained, so the dump in %s stays as it is.", model_dir)
    else:
      dump.dump(os.path.join(model_dir, FILE_NAME))
  finally:
    dump.enable = False


def _note_serving(training: Any, model_dir: str) -> None:
  """Builds the graph that predicts from requests, so that it is noted."""
  receiver_fn = training.create_serving_input_receiver_fn()
  if receiver_fn is None:
    logging.info("The dump has no graph of serving: the task gives no serving_input_receiver_fn.")
    return
  with tf.Graph().as_default():
    tf.compat.v1.get_variable_scope().set_use_resource(True)
    tf.compat.v1.train.get_or_create_global_step()
    dump = DumpUtils()
    receiver = receiver_fn()
    if not dump.model_dump.HasField("serving_input_receiver_fn"):
      dump.record_receiver(lambda: receiver)()
    call_with_accepted(
      training.create_model_fn(),
      features=receiver.features,
      labels=None,
      mode=tf_estimator.ModeKeys.PREDICT,
      config=tf_estimator.RunConfig(model_dir=model_dir),
    )
