# SPDX-License-Identifier: Apache-2.0
"""The names that model code reaches as `tf_estimator.export`: receivers and outputs of exported models."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Union

import tensorflow as tf

__all__ = ["PredictOutput", "ServingInputReceiver"]


class ServingInputReceiver(NamedTuple):
  """What a serving graph receives and what it hands to the model function.

  Attributes:
    features: the features as the model function takes them (tensor or dict of tensors).
    receiver_tensors: the placeholders that a request feeds: a tensor, or {input name: tensor}. Checked when a model is
      exported, not here.
    receiver_tensors_alternatives: further {name: receiver_tensors}; kept for compatibility.
  """

  features: Any
  receiver_tensors: Any
  receiver_tensors_alternatives: Optional[Mapping[str, Any]] = None


class PredictOutput:
  """The outputs of one exported signature.

  Args:
    outputs: a tensor (published as `output`), or {output name: tensor}.

  Raises:
    ValueError: an output is no tensor, or the dict is empty.
  """

  def __init__(self, outputs: Union[tf.Tensor, Mapping[str, tf.Tensor]]):
    named = dict(outputs) if isinstance(outputs, Mapping) else {"output": outputs}
    if not named:
      raise ValueError("PredictOutput: outputs is empty; give at least one tensor.")
    for name, tensor in named.items():
      if not isinstance(tensor, tf.Tensor):
        raise ValueError(f"PredictOutput: output {name!r} is {tensor!r}, which is no tensor.")
    self._outputs = named

  @property
  def outputs(self) -> Mapping[str, tf.Tensor]:
    """{output name: tensor}."""
    return self._outputs
