# SPDX-License-Identifier: Apache-2.0
"""Random data for a model: records, files of them, and requests that warm a server up.

    args = ParserArgs(fidv1_features=[1, 200], fidv2_features=["f_city"], variant_type="instance")
    gen_random_data_file("train.pb", args, num_batch=10, rng=0)  # PBDataset("train.pb") reads it

What is drawn is the same for the same `rng`, a seed or a NumPy generator; `Draws(seed, now=...)` in its place fixes
`req_time` too.
"""

from __future__ import annotations

from monolith.native_training.model_export._data_files import gen_random_data_file, lg_header, sort_header
from monolith.native_training.model_export._feature_meta import FeatureMeta
from monolith.native_training.model_export._feature_values import (
  MASK_V1,
  MASK_V2,
  MAX_SLOT_V1,
  MAX_SLOT_V2,
  fill_features,
  fill_line_id,
  gen_fids_v1,
  gen_fids_v2,
)
from monolith.native_training.model_export._made_up_records import gen_example, gen_example_batch, gen_instance
from monolith.native_training.model_export._parser_args import ParserArgs
from monolith.native_training.model_export._prediction_logs import gen_prediction_log, gen_warmup_file
from monolith.native_training.model_export._random_draws import Draws

__all__ = [
  "Draws",
  "FeatureMeta",
  "MASK_V1",
  "MASK_V2",
  "MAX_SLOT_V1",
  "MAX_SLOT_V2",
  "ParserArgs",
  "fill_features",
  "fill_line_id",
  "gen_example",
  "gen_example_batch",
  "gen_fids_v1",
  "gen_fids_v2",
  "gen_instance",
  "gen_prediction_log",
  "gen_random_data_file",
  "gen_warmup_file",
  "lg_header",
  "sort_header",
]
