// SPDX-License-Identifier: Apache-2.0
// Entries read back from files, on their way into a storage of their own beside the table's.
//
// Nobody reads that storage before it is swapped in, so a key costs no version, no group and no copy: its record is
// checked (record_layout.h), the key put into the index, and the floats go from the record straight to the entry. Records
// of another form than the table's own (written elsewhere, of another dim or optimizer, with integers) are parsed first.
#ifndef CC_HASH_TABLE_TABLE_RESTORE_H_
#define CC_HASH_TABLE_TABLE_RESTORE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "cc/hash_table/embedding_table.h"
#include "cc/hash_table/entry_codec.h"
#include "cc/hash_table/epoch.h"
#include "cc/hash_table/record_layout.h"
#include "cc/hash_table/table_storage.h"

namespace monolith {

class TableRestore : public RestoreBatch {
 public:
  // All that is referred to must outlive this. About `num_entries` will come; 0: not known.
  TableRestore(const TableConfig& config, const EntryCodec& codec, const RecordLayout& layout, EpochManager* epochs,
               uint64_t num_entries);

  void Add(const std::string_view* serialized, size_t n, int shard, int num_shards) override;

  // The end: what was added.
  std::unique_ptr<TableStorage> TakeStorage() { return std::move(storage_); }
  int64_t max_update_ts() const { return max_update_ts_.load(std::memory_order_relaxed); }

 private:
  // A record whose fid is wanted.
  struct Item {
    uint64_t hash;
    int64_t fid;
    const char* record;  // if it has the table's own form,
    uint32_t parsed;     // else its place among those that were parsed
    uint32_t update_ts;
  };

  // Lists those of the records that are wanted, and parses those that need it.
  void List(const std::string_view* serialized, size_t n, int shard, int num_shards, std::vector<Item>* items,
            SavedEntries* parsed) const;
  void Parse(std::string_view record, int shard, int num_shards, std::vector<Item>* items, SavedEntries* parsed) const;
  // Puts items into the storage. Requires: those of a shard follow one another.
  void PutAll(const std::vector<Item>& items, const SavedEntries& parsed);
  void Put(const Item& item, const SavedEntries& parsed, TableStorage::Shard* shard, EntryRun* run);

  const TableConfig& config_;
  const EntryCodec& codec_;
  const RecordLayout& layout_;
  EpochManager& epochs_;
  std::unique_ptr<TableStorage> storage_;
  const uint64_t keys_of_shard_;  // that a shard gets room for with its first: then threads share the work
  std::atomic<int64_t> max_update_ts_{0};
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_TABLE_RESTORE_H_
