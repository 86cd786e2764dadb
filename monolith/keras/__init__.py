# SPDX-License-Identifier: Apache-2.0
"""Keras layers on Monolith's tables: models that are compiled, fitted, saved and loaded with plain Keras.

    model = tf.keras.Sequential([HashEmbedding(16, combiner="mean"), tf.keras.layers.Dense(1)])
    model.compile("adam", tf.keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(ids, labels)

`HashEmbedding` embeds one feature; `HashEmbeddingGroup` embeds many by one op, which is much faster.
"""

from monolith.keras.features import HashFeature, HashSlice
from monolith.keras.hash_embedding import HashEmbedding
from monolith.keras.hash_embedding_group import HashEmbeddingGroup

__all__ = ["HashEmbedding", "HashEmbeddingGroup", "HashFeature", "HashSlice"]
