# SPDX-License-Identifier: Apache-2.0
"""Summaries that tell how much features matter: of searched architectures and of a layer's inputs."""
