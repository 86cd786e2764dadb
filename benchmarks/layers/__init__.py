# SPDX-License-Identifier: Apache-2.0
"""Layers against straightforward compositions of TensorFlow's own operations."""
