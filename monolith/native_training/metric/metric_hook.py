# SPDX-License-Identifier: Apache-2.0
"""Hooks that measure and profile a loop, and that take messages of deep insight out of it.

Importing this module installs the handlers of `exit_hook`, which says what they leave alone.
"""

from __future__ import annotations

from monolith.native_training.metric import exit_hook  # noqa: F401 (counts ends by signals from now on)
from monolith.native_training.metric._loop_metric_hooks import (
  CustomMetricHook,
  StepLossMetricHook,
  ThroughputMetricHook,
)
from monolith.native_training.metric._message_files import (
  WriteOnlyFileAndStat,
  default_layout_fn,
  default_parse_fn,
  vepfs_key_fn,
  vepfs_layout_fn,
)
from monolith.native_training.metric._message_hooks import FileMetricHook, KafkaMetricHook
from monolith.native_training.metric._profiling_hooks import ByteCCLTelemetryHook, NVProfilerHook, Tf2ProfilerHook

__all__ = [
  "ByteCCLTelemetryHook",
  "CustomMetricHook",
  "FileMetricHook",
  "KafkaMetricHook",
  "NVProfilerHook",
  "StepLossMetricHook",
  "Tf2ProfilerHook",
  "ThroughputMetricHook",
  "WriteOnlyFileAndStat",
  "default_layout_fn",
  "default_parse_fn",
  "vepfs_key_fn",
  "vepfs_layout_fn",
]
