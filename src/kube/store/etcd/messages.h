// The messages of etcd's API (etcdserverpb, mvccpb) that the store sends and reads.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/store/types.h"

namespace proa::kube::store::etcd {

// What a value's writer would have remembered of it (Record::note): etcd does not keep it.
using Annotate = std::function<uint64_t(std::string_view key, std::string_view value)>;

struct RangeOptions {
  bool serializable = false;  // by the member that is asked alone, perhaps old
  bool keys_only = false;
};
std::string encode_range(const Range& range, const RangeOptions& options = {});
std::string encode_txn(const Txn& txn);
std::string encode_compaction(Revision revision);
std::string encode_watch_create(std::string_view key, std::string_view end, Revision from);
std::string encode_watch_progress();
std::string encode_lease_grant(int64_t ttl, LeaseId id);
// LeaseRevoke, LeaseKeepAlive, LeaseTimeToLive: the id alone.
std::string encode_lease_id(LeaseId id);

// Answers. Errors are kCorrupt and name the message.
Result<RangeResult> decode_range(std::string_view message, const Annotate& annotate);
struct TxnAnswer {
  bool succeeded = false;
  Revision revision = 0;
  struct Part {
    bool changed = false;  // a put, or a deletion of something
    int64_t deleted = 0;
    RangeResult found;
  };
  std::vector<Part> parts;
};
Result<TxnAnswer> decode_txn(std::string_view message, const Annotate& annotate);
struct WatchAnswer {
  Revision revision = 0;
  int64_t watch_id = 0;
  bool created = false;
  bool canceled = false;
  Revision compact_revision = 0;
  std::string cancel_reason;
  std::vector<RecordPtr> records;  // puts and ends of keys, in order
};
Result<WatchAnswer> decode_watch(std::string_view message, const Annotate& annotate);
struct LeaseAnswer {
  Lease lease;  // remaining < 0: it does not exist
  int64_t granted_ttl = 0;
  std::string error;
};
Result<LeaseAnswer> decode_lease(std::string_view message);
Result<std::vector<LeaseId>> decode_leases(std::string_view message);
struct StatusAnswer {
  Revision revision = 0;
  std::string version;
  int64_t database_bytes = 0;
};
Result<StatusAnswer> decode_status(std::string_view message);

}  // namespace proa::kube::store::etcd
