// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_MULTI_TABLE_H_
#define CC_HASH_TABLE_MULTI_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cc/hash_table/embedding_table.h"

namespace monolith {

// Tables with names, in a fixed order: what one op works on in one call.
class MultiTable {
 public:
  explicit MultiTable(const std::vector<TableConfig>& configs);

  int num_tables() const { return static_cast<int>(tables_.size()); }
  EmbeddingTable& table(int i) { return *tables_[i]; }
  const EmbeddingTable& table(int i) const { return *tables_[i]; }
  std::vector<EmbeddingTable*> all() const;
  const std::string& name(int i) const { return tables_[i]->config().name; }
  // Returns -1 for a name that is not there.
  int IndexOf(const std::string& name) const;
  int total_slices() const;
  uint64_t size() const;

 private:
  std::vector<std::unique_ptr<EmbeddingTable>> tables_;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_MULTI_TABLE_H_
