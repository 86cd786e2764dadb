# SPDX-License-Identifier: Apache-2.0
"""The base of what can be trained: an input function, a model function, and their settings."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

from monolith.core import base_layer, hyperparams

_NESTED: dict[str, list[tuple[str, Any, str]]] = {
  "input": [
    ("eval_examples", None, "Number of examples of the evaluation set."),
    ("train_examples", None, "Number of examples of the training set."),
  ],
  "eval": [
    ("per_replica_batch_size", None, "Rows a step and replica when evaluating."),
    ("steps_per_eval", 10000, "Training steps between two evaluations."),
    ("steps", None, "Steps of one evaluation; None runs to the end of the input."),
  ],
  "train": [
    ("steps", None, "Steps of one call of the trainer; None runs to the end of the input."),
    ("max_steps", None, "Global step to stop at; None never stops for it."),
    ("per_replica_batch_size", None, "Rows a step and replica when training."),
    ("file_pattern", None, "Glob of the training files."),
    ("repeat", False, "Start over at the end of the input."),
    ("label_key", "label", "Name of the label among the features."),
    ("save_checkpoints_steps", None, "Steps between two checkpoints; None does not save by steps."),
    ("save_checkpoints_secs", None, "Seconds between two checkpoints; None does not save by time."),
    ("dense_only_save_checkpoints_secs", None, "Seconds between two checkpoints of dense variables alone."),
    ("dense_only_save_checkpoints_steps", None, "Steps between two checkpoints of dense variables alone."),
  ],
}


class BaseTask(base_layer.BaseLayer, abc.ABC):
  """Something to train. Subclasses give the input and the model."""

  @classmethod
  def params(cls) -> hyperparams.InstantiableParams:
    """Returns the settings of this class with their defaults."""
    p = super().params()
    p.define("accelerator", None, "Kind of accelerator; None uses what TensorFlow places on.")
    for group, rows in _NESTED.items():
      p.define(group, hyperparams.Params(), f"Settings of {group}.")
      for name, default, description in rows:
        p[group].define(name, default, description)
    return p

  @abc.abstractmethod
  def create_input_fn(self, mode: str) -> Callable[..., Any]:
    """Returns the input function for 'train', 'eval' or 'infer'."""

  @abc.abstractmethod
  def create_model_fn(self) -> Callable[..., Any]:
    """Returns the model function."""
