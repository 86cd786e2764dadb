# SPDX-License-Identifier: Apache-2.0
"""Layers: all of `tf.keras.layers`, with `Dense` replaced by ours, and our own beside them.

Every layer class has `params()`, which returns its settings as `InstantiableParams`.
"""

from __future__ import annotations

import tensorflow as tf

from monolith.native_training.layers import advanced_activations as _activations
from monolith.native_training.layers._keras import keras_layers
from monolith.native_training.layers.add_bias import AddBias
from monolith.native_training.layers.advanced_activations import *  # noqa: F403
from monolith.native_training.layers.agru import AGRUCell, dynamic_rnn_with_attention
from monolith.native_training.layers.dense import Dense
from monolith.native_training.layers.feature_cross import CAN, CIN, DCN, FFM, AllInt, CDot, GroupInt
from monolith.native_training.layers.feature_trans import AutoInt, SeNet, iRazor
from monolith.native_training.layers.feature_seq import DIEN, DIN, DMR_U2I
from monolith.native_training.layers.lhuc import LHUCTower
from monolith.native_training.layers.logit_correction import LogitCorrection
from monolith.native_training.layers.mlp import MLP
from monolith.native_training.layers.multi_task import SNR, MMoE
from monolith.native_training.layers.norms import GradNorm, LayerNorm
from monolith.native_training.layers.pooling import AvgPooling, MaxPooling, SumPooling
from monolith.native_training.layers.utils import DCNType, MergeType, merge_tensor_list

__all__ = ["DCNType", "Dense", "LogitCorrection", "MLP", "MergeType", "keras_layers", "merge_tensor_list"]
__all__ += ["AGRUCell", "AddBias", "AvgPooling", "DIEN", "DIN", "DMR_U2I", "GradNorm", "LHUCTower", "LayerNorm", "MMoE"]
__all__ += ["MaxPooling", "SNR", "SumPooling", "dynamic_rnn_with_attention"]
__all__ += _activations.__all__
__all__ += ["AllInt", "CAN", "CDot", "CIN", "DCN", "FFM", "GroupInt"]
__all__ += ["AutoInt", "SeNet", "iRazor"]

# What Keras has and this package does not replace.
_KERAS = sorted({name for name in dir(tf.keras.layers) if not name.startswith("_")} - set(__all__))
globals().update({name: getattr(tf.keras.layers, name) for name in _KERAS})
__all__ += _KERAS
