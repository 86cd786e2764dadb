// SPDX-License-Identifier: Apache-2.0
// The saved form of the entries of one table, where it is the same for all of them but for fid, floats and update time.
//
//   saved:  | tag, fid | tag, float | tag, float | ... | tags and lengths | tag, float | ... | tag | update time, 1 to 5 |
//   entry:             | float      | float      | ...                    | float      | ... |
//
// An entry is then written and read by copying its floats between places that are known beforehand, and a record is
// checked by comparing everything else with what it must be. Optimizers that save integers have no such form. It is
// learnt from what the codec writes (entry_codec.h), which stays the only place that knows the fields.
#ifndef CC_HASH_TABLE_RECORD_LAYOUT_H_
#define CC_HASH_TABLE_RECORD_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "cc/hash_table/entry_codec.h"

namespace monolith {

class RecordLayout {
 public:
  explicit RecordLayout(const EntryCodec& codec);

  // False: the table's records have no fixed form, and the methods below must not be called.
  bool is_fixed() const { return !runs_.empty(); }

  // Whether `record` has the form. If so, takes its fid and update time, and Read may be called.
  bool Matches(std::string_view record, int64_t* fid, uint32_t* update_ts) const;
  // Makes all bytes of an entry of a record that Matches.
  void Read(const char* record, char* entry) const {
    for (const Run& run : runs_) {
      const char* from = record + run.at;
      char* to = entry + run.entry_at;
      for (size_t i = 0; i < run.floats; ++i) std::memcpy(to + 4 * i, from + kFloatField * i, 4);
    }
  }
  // Writes what EntryCodec::Save does, to memory with as much room; returns the end.
  char* Write(int64_t fid, const char* entry, uint32_t update_ts, char* out) const;

 private:
  static constexpr size_t kFid = 1;         // where it is in a record
  static constexpr size_t kFloatField = 5;  // bytes from one float to the next: a tag and a float

  // Floats of one tag that follow each other in the record and in the entry.
  struct Run {
    size_t at;        // of the first float in the record, behind its tag
    size_t entry_at;  // in the entry
    size_t floats;
    size_t gap;  // bytes from the end of the last float to the first of the next run, or to the update time
  };

  bool FindRuns(const EntryCodec& codec);

  std::string form_;  // a record of zeros, without its update time
  std::string mask_;  // of its bytes, all ones where every record has the same
  std::vector<Run> runs_;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_RECORD_LAYOUT_H_
