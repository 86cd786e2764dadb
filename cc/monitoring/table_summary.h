// SPDX-License-Identifier: Apache-2.0
#ifndef CC_MONITORING_TABLE_SUMMARY_H_
#define CC_MONITORING_TABLE_SUMMARY_H_

#include <string>

#include "cc/hash_table/embedding_table.h"

namespace monolith {

// What a table is and how much it holds, as a JSON object of one line: name; accessor, an object that says what entries
// are made of; size; memory, of all entries with 8 bytes for key and time each; memory_if_not_compressed, the same if
// embeddings were kept as floats; load_factor, of the index; allocated, the bytes that entries and index really take.
std::string TableSummary(const EmbeddingTable& table);

}  // namespace monolith

#endif  // CC_MONITORING_TABLE_SUMMARY_H_
