# SPDX-License-Identifier: Apache-2.0
"""Params, registries and base classes; no TensorFlow session anywhere."""
