// SPDX-License-Identifier: Apache-2.0
// Deals the distinct fids of a batch out to servers, one message for each, and notes where every occurrence finds its row.
//
// A server's message is what its lookup and its update need: where the fids of each table begin, and the fids.
//
//   [ 0 | splits of the other tables | number of fids ]   tables + 1 numbers, counted from the first fid
//   [ fids of table 0 | fids of table 1 | ... ]           of each table in the order of their first occurrence
//
// The place of an occurrence is `server << 32 | number of its fid among the server's fids of that table`.
#ifndef MONOLITH_CC_DISTRIBUTION_DEAL_FIDS_H_
#define MONOLITH_CC_DISTRIBUTION_DEAL_FIDS_H_

#include <cstdint>
#include <vector>

#include "cc/distribution/span.h"

namespace monolith::distribution {

constexpr int64_t PlaceOf(int64_t server, int64_t number) { return server << 32 | number; }
constexpr int64_t ServerOf(int64_t place) { return place >> 32; }
constexpr int64_t NumberOf(int64_t place) { return place & 0xffffffff; }

// Fids of one feature, and where the places of its occurrences go.
struct FidsToDeal {
  Span<const int64_t> fids;
  int64_t* places = nullptr;
};

// The distinct fids of one table that each of `num_servers` gets: fid f belongs to server unsigned(f) mod num_servers. A
// fid in several features is one. Fewer than 2^31 fids.
std::vector<std::vector<int64_t>> DealTable(const std::vector<FidsToDeal>& features, int num_servers);

// Size of the message of `server` about tables that were dealt out, and the message.
int64_t MessageSize(const std::vector<std::vector<std::vector<int64_t>>>& tables, int server);
void WriteMessage(const std::vector<std::vector<std::vector<int64_t>>>& tables, int server, int64_t* message);

// Throws DataError unless `message` is one about `num_tables` tables. `server` is for the error.
void CheckMessage(Span<const int64_t> message, int num_tables, int server);

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_DEAL_FIDS_H_
