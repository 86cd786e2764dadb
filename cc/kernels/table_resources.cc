// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/table_resources.h"

namespace monolith {

std::string MultiTableResource::DebugString() const {
  std::string text = "{\"tables\": [";
  for (int i = 0; i < tables_.num_tables(); ++i) {
    const EmbeddingTable& table = tables_.table(i);
    text += std::string(i == 0 ? "" : ", ") + "{\"name\": \"" + tables_.name(i) +
            "\", \"size\": " + std::to_string(table.size()) + ", \"dim\": " + std::to_string(table.dim()) +
            ", \"memory\": " + std::to_string(table.MemoryBytes()) + "}";
  }
  return text + "]}";
}

}  // namespace monolith
