# SPDX-License-Identifier: Apache-2.0
"""Generated modules: `example_pb2`, `feature_pb2`, `line_id_pb2`, `proto_parser_pb2`."""
