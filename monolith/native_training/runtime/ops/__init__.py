# SPDX-License-Identifier: Apache-2.0
"""The op library and its one loader: `from monolith.native_training.runtime.ops import gen_monolith_ops`."""
