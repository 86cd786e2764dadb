# SPDX-License-Identifier: Apache-2.0
"""A movie recommender on MovieLens ratings: train, evaluate, export, recommend."""
