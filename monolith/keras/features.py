# SPDX-License-Identifier: Apache-2.0
"""What a hash-embedding layer embeds: features, and the slices of their embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training import embedding_combiners
from monolith.native_training import entry

LearningRate = float | Callable[[tf.Tensor], Any]

_COMBINERS = ("sum", "mean", "first_n")


@dataclasses.dataclass(frozen=True)
class HashSlice:
  """A part of an embedding with its own optimizer.

  Attributes:
    dim: floats; > 0.
    output: the layer's output that it goes to, where slices of several features stand side by side in the order of the
      features; None: an output named as the feature.
    optimizer: of module `entry`, but no DcOptimizer; None: Adagrad with an initial accumulator of 0.1.
    learning_rate: a number, or a function of the layer's step, such as a Keras schedule.
    initializer: of module `entry`; None: uniform on [-0.05, 0.05).

  Raises:
    ValueError: `dim` is not positive, or another attribute is of the wrong kind; a DcOptimizer is.
  """

  dim: int
  output: str | None = None
  optimizer: entry.Optimizer | None = None
  learning_rate: LearningRate = 0.05
  initializer: entry.Initializer | None = None

  def __post_init__(self) -> None:
    if self.dim < 1:
      raise ValueError(f"HashSlice: dim is {self.dim}; it must be at least 1 float.")
    for name, kind in (("optimizer", entry.Optimizer), ("initializer", entry.Initializer)):
      value = getattr(self, name)
      if value is not None and not isinstance(value, kind):
        raise ValueError(
          f"HashSlice: {name} is {value!r}; use one of monolith.native_training.entry, such as "
          f"{'AdagradOptimizer(initial_accumulator_value=0.1)' if name == 'optimizer' else 'ZerosInitializer()'}."
        )
    if self.optimizer is not None and self.optimizer.as_proto().HasField("dc"):
      raise ValueError(
        f"HashSlice: optimizer is {self.optimizer!r}, which takes the embeddings of single ids beside their gradients, "
        "but a layer has only what they are combined to; use the optimizer inside the DcOptimizer."
      )
    if not callable(self.learning_rate) and not isinstance(self.learning_rate, (int, float)):
      raise ValueError(f"HashSlice: learning_rate is {self.learning_rate!r}; pass a number or a function of the step.")

  def segment(self) -> Any:
    """The slice of a table's config."""
    return entry.CombineAsSegment(
      self.dim,
      self.initializer or entry.RandomUniformInitializer(-0.05, 0.05),
      self.optimizer or entry.AdagradOptimizer(initial_accumulator_value=0.1),
      entry.Fp32Compressor(),
    )

  def get_config(self) -> dict[str, Any]:
    rate = self.learning_rate
    return {
      "dim": self.dim,
      "output": self.output,
      "optimizer": _entry_config(self.optimizer),
      "learning_rate": tf.keras.utils.serialize_keras_object(rate) if callable(rate) else rate,
      "initializer": _entry_config(self.initializer),
    }

  @classmethod
  def from_config(cls, config: Mapping[str, Any]) -> HashSlice:
    rate = config["learning_rate"]
    return cls(
      dim=config["dim"],
      output=config["output"],
      optimizer=_entry_from_config(config["optimizer"]),
      learning_rate=tf.keras.utils.deserialize_keras_object(rate) if isinstance(rate, (dict, str)) else rate,
      initializer=_entry_from_config(config["initializer"]),
    )


@dataclasses.dataclass(frozen=True)
class HashFeature:
  """One feature of a HashEmbeddingGroup.

  Attributes:
    slices: the parts of its embedding; a single one may stand by itself.
    combiner: how the embeddings of a row become one: "sum", "mean", or "first_n", which keeps the first
      `max_seq_length` apart.
    max_seq_length: positions of "first_n"; 0 for the others.
    table: features that name the same table share its entries, and must have the same slices but for the outputs; None:
      a table of its own.
    mask_value: in dense ids [B, L], the id that stands for none; None: all ids count.

  Raises:
    ValueError: there are no slices, the combiner is unknown, or max_seq_length does not fit it.
  """

  slices: Sequence[HashSlice] | HashSlice
  combiner: str = "sum"
  max_seq_length: int = 0
  table: str | None = None
  mask_value: int | None = None

  def __post_init__(self) -> None:
    if not self.all_slices:
      raise ValueError("HashFeature: there are no slices; give at least one, such as HashSlice(16).")
    if self.combiner not in _COMBINERS:
      raise ValueError(f"HashFeature: combiner is {self.combiner!r}; use one of {', '.join(_COMBINERS)}.")
    if (self.combiner == "first_n") != (self.max_seq_length > 0):
      raise ValueError(
        f"HashFeature: max_seq_length is {self.max_seq_length} with combiner {self.combiner!r}; first_n needs at least "
        "1, the others take 0."
      )

  @property
  def all_slices(self) -> list[HashSlice]:
    return [self.slices] if isinstance(self.slices, HashSlice) else list(self.slices)

  def make_combiner(self) -> embedding_combiners.Combiner:
    if self.combiner == "first_n":
      return embedding_combiners.FirstN(self.max_seq_length)
    return embedding_combiners.ReduceSum() if self.combiner == "sum" else embedding_combiners.ReduceMean()

  def get_config(self) -> dict[str, Any]:
    return {
      "slices": [part.get_config() for part in self.all_slices],
      "combiner": self.combiner,
      "max_seq_length": self.max_seq_length,
      "table": self.table,
      "mask_value": self.mask_value,
    }

  @classmethod
  def from_config(cls, config: Mapping[str, Any]) -> HashFeature:
    return cls(**{**config, "slices": [HashSlice.from_config(part) for part in config["slices"]]})


def _entry_config(thing: Any) -> dict[str, Any] | None:
  """An optimizer or initializer of module `entry` as plain values."""
  if thing is None:
    return None
  if isinstance(thing, entry.StochasticRoundingFloat16OptimizerWrapper):
    return {"entry_class": type(thing).__name__, "wrapped": _entry_config(thing._optimizer)}
  fields = (
    {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else {}
  )
  return {"entry_class": type(thing).__name__, "fields": fields}


def _entry_from_config(config: Mapping[str, Any] | None) -> Any:
  if config is None:
    return None
  cls: Any = getattr(entry, config["entry_class"], None)
  known = isinstance(cls, type) and issubclass(cls, (entry.Optimizer, entry.Initializer))
  if not known:
    raise ValueError(f"{config['entry_class']!r} is no optimizer or initializer of monolith.native_training.entry.")
  if "wrapped" in config:
    return cls(_entry_from_config(config["wrapped"]))
  return cls(**config["fields"])
