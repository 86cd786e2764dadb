# SPDX-License-Identifier: Apache-2.0
"""Tables, slices and combiners of a model, as messages of a dump and back."""

from __future__ import annotations

import numbers
from typing import Any, Dict, Iterable, List, Mapping

from monolith.native_training import embedding_combiners, entry
from monolith.native_training.model_dump import monolith_model_pb2
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

__all__ = [
  "combiner_messages",
  "combiners_of",
  "dim_messages",
  "dims_of",
  "table_configs_of",
  "table_messages",
]

_COMBINERS = {
  monolith_model_pb2.ReduceSum: embedding_combiners.ReduceSum,
  monolith_model_pb2.ReduceMean: embedding_combiners.ReduceMean,
  monolith_model_pb2.FirstN: embedding_combiners.FirstN,
}


def table_messages(configs: Mapping[str, entry.HashTableConfigInstance]) -> List[monolith_model_pb2.HashTableConfig]:
  """Tables as messages.

  Raises:
    ValueError: a learning rate is no number.
  """
  return [_table_message(name, config) for name, config in configs.items()]


def _table_message(name: str, config: entry.HashTableConfigInstance) -> monolith_model_pb2.HashTableConfig:
  for rate in config.learning_rate_fns:
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real):
      raise ValueError(
        f"table {name!r} has the learning rate {rate}; a dump holds numbers, so give one in the optimizer's config, "
        "without warmup_steps, or switch enable_model_dump off."
      )
  return monolith_model_pb2.HashTableConfig(
    name=name,
    table_config=config.table_config.SerializeToString(deterministic=True),
    learning_rates=[float(rate) for rate in config.learning_rate_fns],  # type: ignore[arg-type]
    extra_restore_names=config.extra_restore_names,
  )


def table_configs_of(
  messages: Iterable[monolith_model_pb2.HashTableConfig],
) -> Dict[str, entry.HashTableConfigInstance]:
  """Tables of messages. Learning rates are float32 there, so they come back rounded to that."""
  return {
    message.name: entry.HashTableConfigInstance(
      embedding_hash_table_pb2.EmbeddingHashTableConfig.FromString(message.table_config),
      list(message.learning_rates),
      list(message.extra_restore_names),
    )
    for message in messages
  }


def dim_messages(dims: Mapping[str, Iterable[int]]) -> List[monolith_model_pb2.FeatureSliceDim]:
  """{feature: dims of its slices} as messages."""
  return [monolith_model_pb2.FeatureSliceDim(name=name, dims=list(sizes)) for name, sizes in dims.items()]


def dims_of(messages: Iterable[monolith_model_pb2.FeatureSliceDim]) -> Dict[str, List[int]]:
  """{feature: dims of its slices} of messages."""
  return {message.name: list(message.dims) for message in messages}


def combiner_messages(
  combiners: Mapping[str, embedding_combiners.Combiner],
) -> List[monolith_model_pb2.FeatureCombiner]:
  """{feature: combiner} as messages.

  Raises:
    ValueError: a combiner is none of the three that dumps know.
  """
  return [_combiner_message(name, combiner) for name, combiner in combiners.items()]


def _combiner_message(name: str, combiner: Any) -> monolith_model_pb2.FeatureCombiner:
  for value, kind in _COMBINERS.items():
    if type(combiner) is kind:
      return monolith_model_pb2.FeatureCombiner(name=name, combiner=value, max_seq_length=combiner.max_seq_length)
  raise ValueError(
    f"feature {name!r} is combined by {type(combiner).__name__}; a dump holds ReduceSum, ReduceMean and FirstN."
  )


def combiners_of(
  messages: Iterable[monolith_model_pb2.FeatureCombiner],
) -> Dict[str, embedding_combiners.Combiner]:
  """{feature: combiner} of messages."""
  return {
    message.name: embedding_combiners.FirstN(message.max_seq_length)
    if message.combiner == monolith_model_pb2.FirstN
    else _COMBINERS[message.combiner]()
    for message in messages
  }
