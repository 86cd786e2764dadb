// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/record_variant.h"

#include "tensorflow/core/framework/variant_op_registry.h"

namespace monolith {

REGISTER_UNARY_VARIANT_DECODE_FUNCTION(InstanceVariant, "Instance");
REGISTER_UNARY_VARIANT_DECODE_FUNCTION(ExampleVariant, "Example");
REGISTER_UNARY_VARIANT_DECODE_FUNCTION(ExampleBatchVariant, "ExampleBatch");

}  // namespace monolith
