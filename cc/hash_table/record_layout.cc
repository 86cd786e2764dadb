// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/record_layout.h"

#include <algorithm>
#include <limits>

#include "cc/hash_table/wire.h"

namespace monolith {
namespace {

constexpr size_t kWord = 8;
constexpr size_t kMostTime = 5;  // bytes of an update time

uint64_t LoadWord(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, kWord);
  return word;
}

// The record of an entry whose bytes are those, without its update time, which is one byte.
std::string SavedForm(const EntryCodec& codec, int64_t fid, const std::string& entry) {
  std::string form = codec.Saved(fid, entry.data(), entry.data() + codec.value_bytes(), 0);
  form.pop_back();
  return form;
}

}  // namespace

RecordLayout::RecordLayout(const EntryCodec& codec) {
  if (!codec.saves_floats_as_they_lie()) return;
  // Whatever a float, an integer or the fid has to do with differs between all zeros and all ones.
  form_ = SavedForm(codec, 0, std::string(codec.entry_bytes(), '\0'));
  const std::string ones = SavedForm(codec, -1, std::string(codec.entry_bytes(), '\xFF'));
  if (form_.size() != ones.size()) return;  // integers take as many bytes as they need
  for (size_t i = 0; i < form_.size(); ++i) mask_.push_back(form_[i] == ones[i] ? '\xFF' : '\0');
  if (!FindRuns(codec)) runs_.clear();
}

// False if there are bytes of an entry that records do not have.
bool RecordLayout::FindRuns(const EntryCodec& codec) {
  // An entry of floats that say where they are.
  const size_t floats = codec.entry_bytes() / sizeof(float);
  std::string numbered(codec.entry_bytes(), '\0');
  for (uint32_t i = 0; i < floats; ++i) std::memcpy(&numbered[sizeof(float) * i], &i, sizeof(i));
  const std::string saved = SavedForm(codec, 0, numbered);
  size_t found = 0;
  for (size_t at = kFid + sizeof(int64_t); at < mask_.size();) {
    if (mask_[at] != '\0') {
      ++at;
      continue;
    }
    uint32_t number;
    std::memcpy(&number, &saved[at], sizeof(number));
    const size_t entry_at = sizeof(float) * number;
    const Run* const last = runs_.empty() ? nullptr : &runs_.back();
    if (last != nullptr && last->at + kFloatField * last->floats == at && form_[last->at - 1] == form_[at - 1] &&
        last->entry_at + sizeof(float) * last->floats == entry_at) {
      ++runs_.back().floats;
    } else {
      runs_.push_back({at, entry_at, 1, 0});
    }
    ++found;
    at += sizeof(float);
  }
  for (size_t r = 0; r < runs_.size(); ++r) {
    const size_t end = runs_[r].at + kFloatField * runs_[r].floats - 1;
    runs_[r].gap = (r + 1 < runs_.size() ? runs_[r + 1].at : form_.size()) - end;
  }
  return found == floats;
}

bool RecordLayout::Matches(std::string_view record, int64_t* fid, uint32_t* update_ts) const {
  const size_t size = form_.size();
  if (record.size() <= size || record.size() > size + kMostTime) return false;
  const char *const bytes = record.data(), *const form = form_.data(), *const mask = mask_.data();
  uint64_t wrong = 0;
  size_t at = 0;
  for (; at + kWord <= size; at += kWord) wrong |= (LoadWord(bytes + at) ^ LoadWord(form + at)) & LoadWord(mask + at);
  at = size - kWord;  // more than one word: there is a fid
  wrong |= (LoadWord(bytes + at) ^ LoadWord(form + at)) & LoadWord(mask + at);
  if (wrong != 0) return false;
  wire::Reader rest(record.substr(size));
  uint64_t time = 0;
  if (!rest.Varint(&time) || !rest.Done() || time > std::numeric_limits<uint32_t>::max()) return false;
  std::memcpy(fid, bytes + kFid, sizeof(*fid));
  *update_ts = static_cast<uint32_t>(time);
  return true;
}

char* RecordLayout::Write(int64_t fid, const char* entry, uint32_t update_ts, char* out) const {
  std::memcpy(out, form_.data(), runs_[0].at);
  std::memcpy(out + kFid, &fid, sizeof(fid));
  for (const Run& run : runs_) {
    const uint64_t tag = static_cast<uint8_t>(form_[run.at - 1]);
    char* to = out + run.at - 1;
    // A float and its tag in one store of eight bytes, of which what follows overwrites the last three.
    for (size_t i = 0; i < run.floats; ++i, to += kFloatField) {
      uint32_t bits;
      std::memcpy(&bits, entry + run.entry_at + sizeof(float) * i, sizeof(bits));
      const uint64_t field = tag | uint64_t{bits} << 8;
      std::memcpy(to, &field, sizeof(field));
    }
    std::memcpy(to, form_.data() + (to - out), run.gap);
  }
  return wire::PutVarint(out + form_.size(), update_ts);
}

}  // namespace monolith
