# SPDX-License-Identifier: Apache-2.0
"""What a training run wrote for TensorBoard."""

from __future__ import annotations

import os

import tensorflow as tf


def losses(model_dir: str | os.PathLike[str]) -> list[float]:
  """The losses of a run, in the order of its steps; a step that was written twice counts once."""
  found = {}
  for path in sorted(tf.io.gfile.glob(os.path.join(model_dir, "events*"))):
    for event in tf.compat.v1.train.summary_iterator(path):
      for value in event.summary.value:
        if value.tag == "loss":
          found[event.step] = value.simple_value
  return [found[step] for step in sorted(found)]
