// What a store is asked and what it answers, with etcd's meaning of each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kube/store/record.h"

namespace proa::kube::store {

// The keys from `key` up to, not including, `end`. An empty `end`: that one key. kToTheEnd: all from `key` on.
inline constexpr std::string_view kToTheEnd{"\0", 1};
// The end of the keys that begin with `prefix`.
std::string prefix_end(std::string_view prefix);

struct Range {
  std::string key;
  std::string end;
  Revision revision = 0;  // as the keys were then; 0: now
  size_t limit = 0;       // records at most; 0: all
  bool count_only = false;
  bool uncounted = false;  // the count is not wanted beyond the limit: do not walk the rest

  static Range of_prefix(std::string_view prefix) { return {.key = std::string(prefix), .end = prefix_end(prefix)}; }
  // The rest of a range whose first records ended with `last`.
  Range after(std::string_view last) const;
};

struct RangeResult {
  Revision revision = 0;           // of the store when it answered
  std::vector<RecordPtr> records;  // in the order of keys
  bool more = false;               // the limit left some out
  int64_t count = 0;               // of the whole range, whatever the limit
};

struct Compare {
  enum class Target : uint8_t { kVersion, kCreateRevision, kModRevision, kValue, kLease };
  enum class Relation : uint8_t { kEqual, kGreater, kLess, kNotEqual };
  std::string key;
  Target target = Target::kModRevision;
  Relation relation = Relation::kEqual;
  int64_t number = 0;  // a key that is not there has 0 everywhere; its value holds in no compare
  std::string value;   // for kValue

  // The guards nearly every write has.
  static Compare absent(std::string_view key) { return {.key = std::string(key)}; }
  static Compare unchanged(std::string_view key, Revision since) { return {.key = std::string(key), .number = since}; }
};

struct Put {
  Draft draft;
  LeaseId lease = 0;
};
struct Delete {
  std::string key;
  std::string end;  // as in Range
};
using Operation = std::variant<Put, Delete, Range>;

// All of `success` if every compare holds, all of `failure` if not, at one revision.
struct Txn {
  std::vector<Compare> compares;
  std::vector<Operation> success;
  std::vector<Operation> failure;
};

struct OperationResult {
  RecordPtr record;                // Put: what is there now
  RecordPtr previous;              // Put: what was there before
  std::vector<RecordPtr> records;  // Range: found; Delete: what was there
  bool more = false;
  int64_t count = 0;
};

struct TxnResult {
  bool succeeded = false;
  Revision revision = 0;  // of the store after it: the changes', if it made any
  std::vector<OperationResult> results;
};

struct Lease {
  LeaseId id = 0;
  int64_t ttl = 0;        // seconds it was granted for
  int64_t remaining = 0;  // seconds
};

struct Event {
  RecordPtr record;    // deleted() or put
  RecordPtr previous;  // what was there before, null if nothing was
};

// The bounds etcd has by default, so that a cluster can move to it.
inline constexpr size_t kMostOperations = 128;
inline constexpr size_t kMostTxnBytes = 3u << 19;  // 1.5 MiB

}  // namespace proa::kube::store
