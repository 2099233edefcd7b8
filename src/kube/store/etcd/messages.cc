// Field numbers: api/etcdserverpb/rpc.proto and api/mvccpb/kv.proto of etcd 3.4.
#include "kube/store/etcd/messages.h"

#include "kube/store/errors.h"
#include "kube/store/record_wire.h"
#include "kube/store/wire.h"

namespace proa::kube::store::etcd {

namespace {

// etcd's own sign for "to the end" is the same byte as ours.
std::string encode_put(const Put& put) {
  return WireWriter().bytes(1, put.draft.key()).bytes(2, put.draft.value()).number(3, put.lease).take();
}

std::string encode_operation(const Operation& operation) {
  WireWriter out;
  if (const auto* range = std::get_if<Range>(&operation))
    out.message(1, encode_range(*range));
  else if (const auto* put = std::get_if<Put>(&operation))
    out.message(2, encode_put(*put));
  else if (const auto* gone = std::get_if<Delete>(&operation))
    out.message(3, WireWriter().bytes(1, gone->key).bytes(2, gone->end).text());
  return out.take();
}

std::string encode_compare(const Compare& compare) {
  WireWriter out;
  out.number(1, static_cast<int64_t>(compare.relation)).number(2, static_cast<int64_t>(compare.target));
  out.bytes(3, compare.key);
  switch (compare.target) {
    // Which of them is set says what is compared with, also when it is 0.
    case Compare::Target::kVersion: out.always(4, compare.number); break;
    case Compare::Target::kCreateRevision: out.always(5, compare.number); break;
    case Compare::Target::kModRevision: out.always(6, compare.number); break;
    case Compare::Target::kValue: out.message(7, compare.value); break;
    case Compare::Target::kLease: out.always(8, compare.number); break;
  }
  return out.take();
}

Result<Revision> header_revision(std::string_view header) {
  Revision revision = 0;
  WireReader in(header);
  while (in.next())
    if (in.field() == 3) revision = in.number();
  TRY(in.check("etcd's ResponseHeader"));
  return revision;
}

Result<RecordPtr> decode_record(std::string_view message, bool deleted, uint32_t order, const Annotate& annotate) {
  RecordFields fields = TRY_CTX(store::decode_record(message), "etcd's KeyValue");
  fields.stamp.deleted = deleted;
  fields.stamp.order = order;
  const uint64_t note = annotate && !deleted ? annotate(fields.key, fields.value) : 0;
  return Draft(fields.key, fields.value, note).finish(fields.stamp);
}

Result<TxnAnswer::Part> decode_part(std::string_view message, const Annotate& annotate) {
  TxnAnswer::Part part;
  WireReader in(message);
  while (in.next()) switch (in.field()) {
      case 1: part.found = TRY(decode_range(in.bytes(), annotate)); break;
      case 2: part.changed = true; break;
      case 3: {
        WireReader gone(in.bytes());
        while (gone.next())
          if (gone.field() == 2) part.deleted = gone.number();
        TRY(gone.check("etcd's DeleteRangeResponse"));
        part.changed = part.deleted > 0;
        break;
      }
      default: break;
    }
  TRY(in.check("etcd's ResponseOp"));
  return part;
}

Result<RecordPtr> decode_event(std::string_view message, uint32_t order, const Annotate& annotate) {
  bool deleted = false;
  std::string_view record;
  WireReader in(message);
  while (in.next()) switch (in.field()) {
      case 1: deleted = in.number() == 1; break;
      case 2: record = in.bytes(); break;
      default: break;
    }
  TRY(in.check("etcd's Event"));
  return decode_record(record, deleted, order, annotate);
}

}  // namespace

std::string encode_range(const Range& range, const RangeOptions& options) {
  return WireWriter()
      .bytes(1, range.key)
      .bytes(2, range.end)
      .number(3, static_cast<int64_t>(range.limit))
      .number(4, range.revision)
      .number(7, options.serializable ? 1 : 0)
      .number(8, options.keys_only ? 1 : 0)
      .number(9, range.count_only ? 1 : 0)
      .take();
}

std::string encode_txn(const Txn& txn) {
  WireWriter out;
  for (const Compare& compare : txn.compares) out.message(1, encode_compare(compare));
  for (const Operation& operation : txn.success) out.message(2, encode_operation(operation));
  for (const Operation& operation : txn.failure) out.message(3, encode_operation(operation));
  return out.take();
}

std::string encode_compaction(Revision revision) { return WireWriter().number(1, revision).take(); }

std::string encode_watch_create(std::string_view key, std::string_view end, Revision from) {
  return WireWriter().message(1, WireWriter().bytes(1, key).bytes(2, end).number(3, from).text()).take();
}

std::string encode_watch_progress() { return WireWriter().message(3, {}).take(); }

std::string encode_lease_grant(int64_t ttl, LeaseId id) { return WireWriter().number(1, ttl).number(2, id).take(); }

std::string encode_lease_id(LeaseId id) { return WireWriter().number(1, id).take(); }

Result<RangeResult> decode_range(std::string_view message, const Annotate& annotate) {
  RangeResult result;
  WireReader in(message);
  while (in.next()) switch (in.field()) {
      case 1: result.revision = TRY(header_revision(in.bytes())); break;
      case 2: result.records.push_back(TRY(decode_record(in.bytes(), false, 0, annotate))); break;
      case 3: result.more = in.number() != 0; break;
      case 4: result.count = in.number(); break;
      default: break;
    }
  TRY(in.check("etcd's RangeResponse"));
  return result;
}

Result<TxnAnswer> decode_txn(std::string_view message, const Annotate& annotate) {
  TxnAnswer answer;
  WireReader in(message);
  while (in.next()) switch (in.field()) {
      case 1: answer.revision = TRY(header_revision(in.bytes())); break;
      case 2: answer.succeeded = in.number() != 0; break;
      case 3: answer.parts.push_back(TRY(decode_part(in.bytes(), annotate))); break;
      default: break;
    }
  TRY(in.check("etcd's TxnResponse"));
  return answer;
}

Result<WatchAnswer> decode_watch(std::string_view message, const Annotate& annotate) {
  WatchAnswer answer;
  uint32_t order = 0;
  WireReader in(message);
  while (in.next()) switch (in.field()) {
      case 1: answer.revision = TRY(header_revision(in.bytes())); break;
      case 2: answer.watch_id = in.number(); break;
      case 3: answer.created = in.number() != 0; break;
      case 4: answer.canceled = in.number() != 0; break;
      case 5: answer.compact_revision = in.number(); break;
      case 6: answer.cancel_reason = in.bytes(); break;
      case 11: {
        RecordPtr record = TRY(decode_event(in.bytes(), order, annotate));
        const bool same = !answer.records.empty() && answer.records.back()->mod_revision() == record->mod_revision();
        if (!same && order != 0) record = TRY(decode_event(in.bytes(), order = 0, annotate));
        ++order;
        answer.records.push_back(std::move(record));
        break;
      }
      default: break;
    }
  TRY(in.check("etcd's WatchResponse"));
  return answer;
}

Result<LeaseAnswer> decode_lease(std::string_view message) {
  LeaseAnswer answer;
  WireReader in(message);
  while (in.next()) switch (in.field()) {
      case 2: answer.lease.id = in.number(); break;
      case 3: answer.lease.remaining = in.number(); break;
      // LeaseGrantResponse has an error here, LeaseTimeToLiveResponse the TTL that was granted.
      case 4:
        answer.granted_ttl = in.number();
        answer.error = in.bytes();
        break;
      default: break;
    }
  TRY(in.check("etcd's lease answer"));
  answer.lease.ttl = answer.granted_ttl != 0 ? answer.granted_ttl : answer.lease.remaining;
  return answer;
}

Result<std::vector<LeaseId>> decode_leases(std::string_view message) {
  std::vector<LeaseId> ids;
  WireReader in(message);
  while (in.next()) {
    if (in.field() != 2) continue;
    WireReader lease(in.bytes());
    while (lease.next())
      if (lease.field() == 1) ids.push_back(lease.number());
    TRY(lease.check("etcd's LeaseStatus"));
  }
  TRY(in.check("etcd's LeaseLeasesResponse"));
  return ids;
}

Result<StatusAnswer> decode_status(std::string_view message) {
  StatusAnswer answer;
  WireReader in(message);
  while (in.next()) switch (in.field()) {
      case 1: answer.revision = TRY(header_revision(in.bytes())); break;
      case 2: answer.version = in.bytes(); break;
      case 3: answer.database_bytes = in.number(); break;
      default: break;
    }
  TRY(in.check("etcd's StatusResponse"));
  return answer;
}

}  // namespace proa::kube::store::etcd
