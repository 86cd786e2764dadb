# SPDX-License-Identifier: Apache-2.0
"""Features of a model: slots, slices, columns, and the two factories that stand behind them.

The user's model function runs against `DummyFeatureFactory`, which records the tables it needs, and in each graph
against a factory that answers from embeddings looked up in those tables, such as `FeatureFactoryFromEmbeddings`.
"""

from __future__ import annotations

from monolith.native_training._feature_collect import (
  DummyFeatureEmbTable,
  DummyFeatureFactory,
  SliceConfig,
  TableConfig,
)
from monolith.native_training._feature_slices import (
  EmbeddingFeatureEmbTable,
  FeatureFactoryFromEmbeddings,
  create_embedding_slices,
  slice_key,
)
from monolith.native_training._feature_slots import (
  DEFAULT_EXPIRE_TIME,
  FeatureColumn,
  FeatureEmbTable,
  FeatureFactory,
  FeatureSlice,
  FeatureSlot,
  FeatureSlotConfig,
)

from monolith.native_training._layout_factory import EmbeddingLayoutFactory

FeatureColumnV1 = FeatureColumn

__all__ = [
  "DEFAULT_EXPIRE_TIME",
  "DummyFeatureEmbTable",
  "DummyFeatureFactory",
  "EmbeddingFeatureEmbTable",
  "EmbeddingLayoutFactory",
  "FeatureColumn",
  "FeatureColumnV1",
  "FeatureEmbTable",
  "FeatureFactory",
  "FeatureFactoryFromEmbeddings",
  "FeatureSlice",
  "FeatureSlot",
  "FeatureSlotConfig",
  "SliceConfig",
  "TableConfig",
  "create_embedding_slices",
  "slice_key",
]
