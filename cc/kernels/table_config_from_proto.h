// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_TABLE_CONFIG_FROM_PROTO_H_
#define CC_KERNELS_TABLE_CONFIG_FROM_PROTO_H_

#include <string>
#include <vector>

#include "cc/hash_table/table_config.h"
#include "monolith/native_training/runtime/hash_table/embedding_hash_table.pb.h"

namespace monolith {

// Throws TableError for what makes no table.
TableConfig TableConfigFromProto(const std::string& name, const hash_table::EmbeddingHashTableConfig& config,
                                 uint64_t seed);
ExpireConfig ExpireConfigFromProto(const hash_table::SlotExpireTimeConfig& config);

}  // namespace monolith

#endif  // CC_KERNELS_TABLE_CONFIG_FROM_PROTO_H_
