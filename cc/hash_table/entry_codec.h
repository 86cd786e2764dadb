// SPDX-License-Identifier: Apache-2.0
// The bytes of an entry, fixed once for the whole library.
//
//   training:  | float32 embedding, all slices | state of slice 0 | state of slice 1 | ... | padding to 8 |
//   serving:   | encoded slice 0 | encoded slice 1 | ... | padding to 8 |
//
// The part in front, up to value_bytes(), is what readers copy without a lock; writers change a private copy of it and
// then store it (relaxed_memory.h). What follows is touched under the key's lock only.
#ifndef CC_HASH_TABLE_ENTRY_CODEC_H_
#define CC_HASH_TABLE_ENTRY_CODEC_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cc/hash_table/entry_dump.h"
#include "cc/hash_table/optimizer.h"
#include "cc/hash_table/table_config.h"

namespace monolith {

class EntryCodec {
 public:
  virtual ~EntryCodec() = default;

  int dim() const { return dim_; }
  int num_slices() const { return num_slices_; }
  size_t value_bytes() const { return value_bytes_; }
  size_t entry_bytes() const { return value_bytes_ + state_bytes_; }
  // True if the value bytes are the embedding as lookups give it, so that Read only copies.
  virtual bool values_are_floats() const = 0;
  // True if the floats of a saved entry are those of its bytes, bit for bit.
  virtual bool saves_floats_as_they_lie() const = 0;

  // `value` is the value bytes or a private copy of them; `state` what follows them in the entry.
  void Init(int64_t fid, char* value, char* state) const {
    if (!first_values_vary_ && state == value + value_bytes_) {
      std::memcpy(value, first_bytes_.data(), entry_bytes());
      return;
    }
    std::memcpy(state, first_bytes_.data() + value_bytes_, state_bytes_);
    if (first_values_vary_) {
      InitValues(fid, value);
    } else {
      std::memcpy(value, first_bytes_.data(), value_bytes_);
    }
  }
  virtual void Read(const char* value, float* embedding) const = 0;
  virtual void Assign(const float* embedding, char* value) const = 0;
  virtual void AssignAdd(const float* delta, char* value) const = 0;
  // An optimizer step of each of `n` distinct entries, at most kMostSteps, with whole values, states and gradients, and
  // whole looked-up embeddings if it needs_looked_up().
  // `learning_rates` has one rate a slice. Requires: CheckOptimize has let the step pass.
  static constexpr int kMostSteps = 16;
  virtual void Optimize(const EntryStep* steps, int n, const float* learning_rates, int64_t global_step) const = 0;
  // Throws TableError where entries cannot be trained, and for a negative global_step where it matters.
  virtual void CheckOptimize(int64_t global_step) const = 0;

  virtual bool needs_looked_up() const { return false; }

  // Writes the EntryDump of an entry, which is `fid`'s, to memory with room for most_saved_bytes(); returns the end.
  char* Save(int64_t fid, const char* value, const char* state, uint32_t update_ts, char* out) const;
  size_t most_saved_bytes() const { return most_saved_bytes_; }
  // The same as a string, with or without its fid.
  std::string Saved(int64_t fid, const char* value, const char* state, uint32_t update_ts) const;
  std::string SavedWithoutFid(const char* value, const char* state, uint32_t update_ts) const;
  // Makes an entry of what was saved. Values that it lacks, and states that it has not or that are another optimizer's,
  // are first values. Requires: CheckSaved has let it pass.
  virtual void Restore(const SavedEntry& saved, char* value, char* state) const = 0;
  // Throws TableError for more values than dim.
  void CheckSaved(const std::string& table, const SavedEntry& saved) const;

 protected:
  // Writes values, optimizer states and update time.
  virtual char* SaveRest(const char* value, const char* state, uint32_t update_ts, char* out) const = 0;

  // First values of slices that draw them by fid.
  virtual void InitValues(int64_t fid, char* value) const = 0;

  std::vector<char> first_bytes_;   // of a new entry; no values if they vary
  bool first_values_vary_ = false;  // with the fid
  size_t most_saved_bytes_ = 0;
  int dim_ = 0;
  int num_slices_ = 0;
  size_t value_bytes_ = 0;
  size_t state_bytes_ = 0;
};

// Throws TableError for a configuration that makes no entry; the message names table, slice, value and remedy.
std::unique_ptr<EntryCodec> NewEntryCodec(const TableConfig& config);

}  // namespace monolith

#endif  // CC_HASH_TABLE_ENTRY_CODEC_H_
