# SPDX-License-Identifier: Apache-2.0
"""What the FFM test model is asked, as its exports take it."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def first_batch(params: Any) -> list[bytes]:
  """The examples of the first batch of the model's input, serialized; the input is made up from a seed."""
  batch = next(iter(params.instantiate().create_input_fn("predict")()))
  rows = {name: value.to_list() for name, value in batch.items() if isinstance(value, tf.RaggedTensor)}
  examples = []
  for i, label in enumerate(batch["label"].numpy()):
    example = tf.train.Example()
    example.features.feature["label"].float_list.value.append(float(np.ravel(label)[0]))
    for name, values in rows.items():
      example.features.feature[name].int64_list.value.extend(values[i])
    examples.append(example.SerializeToString())
  return examples
