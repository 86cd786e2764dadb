// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/multi_table.h"

namespace monolith {

MultiTable::MultiTable(const std::vector<TableConfig>& configs) {
  for (const TableConfig& config : configs) {
    if (IndexOf(config.name) >= 0) {
      throw TableError("two tables are named '" + config.name + "'; give each its own name.");
    }
    tables_.push_back(NewEmbeddingTable(config));
  }
}

int MultiTable::IndexOf(const std::string& name) const {
  for (int i = 0; i < num_tables(); ++i) {
    if (this->name(i) == name) return i;
  }
  return -1;
}

std::vector<EmbeddingTable*> MultiTable::all() const {
  std::vector<EmbeddingTable*> tables;
  for (const auto& table : tables_) tables.push_back(table.get());
  return tables;
}

int MultiTable::total_slices() const {
  int slices = 0;
  for (const auto& table : tables_) slices += table->num_slices();
  return slices;
}

uint64_t MultiTable::size() const {
  uint64_t size = 0;
  for (const auto& table : tables_) size += table->size();
  return size;
}

}  // namespace monolith
