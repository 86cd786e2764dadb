// SPDX-License-Identifier: Apache-2.0
// The saved form of an entry: the wire format of message monolith.hash_table.EntryDump, written and read without
// protobuf objects, since a checkpoint has one for every fid.
#ifndef CC_HASH_TABLE_ENTRY_DUMP_H_
#define CC_HASH_TABLE_ENTRY_DUMP_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cc/hash_table/optimizer.h"

namespace monolith {

// An entry as read back. Fields that were absent are empty or 0.
struct EntryDump {
  int64_t fid = 0;
  std::vector<float> values;
  // One SingleOptimizerDump for each slice that dumps state, in order: its member number and the message inside.
  struct OptimizerState {
    int member = 0;
    std::string_view message;  // points into the parsed bytes
  };
  std::vector<OptimizerState> optimizer_states;
  uint32_t update_ts = 0;
};

// Writes pieces of an EntryDump to memory that has room for them (MostEntryBytes); call in the order of the field numbers.
class EntryDumpWriter {
 public:
  explicit EntryDumpWriter(char* at) : at_(at) {}
  void WriteFid(int64_t fid);
  void WriteValues(const float* values, int dim);
  // `states` holds the slices' states back to back; a null schema is a slice that dumps nothing.
  void WriteOptimizerStates(const std::vector<const StateSchema*>& schemas, const std::vector<int>& state_bytes,
                            const char* states);
  void WriteUpdateTime(uint32_t seconds);
  char* end() const { return at_; }

 private:
  char* at_;
};

// Room that the writer needs for an entry, whatever the values are.
size_t MostEntryBytes(int dim, const std::vector<const StateSchema*>& schemas);

// Parses a serialized EntryDump; returns false if the bytes are not one. `bytes` must outlive `dump`.
bool ParseEntryDump(std::string_view bytes, EntryDump* dump);

// One of several entries that were read back together.
struct SavedEntry {
  int64_t fid;
  uint32_t update_ts;
  const float* values;
  size_t num_values;
  const EntryDump::OptimizerState* states;
  size_t num_states;
};

// Entries that share their memory, so that parsing one allocates nothing.
class SavedEntries {
 public:
  // Parses one more; returns false, having added none, if the bytes are no EntryDump. `bytes` must outlive this.
  bool Add(std::string_view bytes);
  void RemoveLast();
  size_t size() const { return entries_.size(); }
  // Valid until the next Add.
  SavedEntry operator[](size_t i) const;

 private:
  struct Entry {
    int64_t fid;
    uint32_t update_ts;
    size_t first_value, first_state;
  };

  std::vector<Entry> entries_;
  std::vector<float> values_;
  std::vector<EntryDump::OptimizerState> states_;
};

// Copies a saved optimizer message into `state`. Returns false, having changed nothing, when it is of another optimizer
// or one of its fields is missing or has another length: the caller then keeps the initial state.
bool RestoreState(const EntryDump::OptimizerState& saved, const StateSchema& schema, int state_bytes, char* state);

}  // namespace monolith

#endif  // CC_HASH_TABLE_ENTRY_DUMP_H_
