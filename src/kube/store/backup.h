// Backups: the state of a store at one revision in one file, which any store can be made from.
//
// The file: "PROABKP1", then blocks, each a letter, the size of its payload in four bytes (least significant first)
// and the payload, in protobuf's wire format:
//   H  1 revision, 2 when (seconds since 1970), 3 kind of store
//   L  1 lease's id, 2 its TTL in seconds
//   R  1 key, 2 create revision, 3 mod revision, 4 version, 5 value, 6 lease, 7 note; in the order of revisions
//   E  1 number of records, 2 number of leases; then the SHA-256 of all before it
// A file is whole or it is refused, before anything of it is used.
#pragma once

#include <functional>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "kube/store/store.h"

namespace proa::kube::store {

struct BackupInfo {
  Revision revision = 0;
  std::string kind;  // of the store: "embedded", "etcd 3.4.23"
  WallTime created;
  uint64_t records = 0;
  uint64_t leases = 0;
  uint64_t bytes = 0;  // of the file
};

// Revisions that a store restored from a backup leaves out: what clients saw after the backup was made must not be
// taken for what comes now. They find their revisions compacted and list again.
inline constexpr Revision kRestoreGap = 1 << 24;

// Of a store of this process, while it works. The file appears when it is whole, with mode 0600; one that is there
// is replaced. Blocks: not from a loop.
Result<BackupInfo> backup_store(Store& store, const std::string& file, const Clock& clock = Clock::system());
// Of an embedded store's folder, also while another process works with it.
Result<BackupInfo> backup_folder(const std::string& folder, const std::string& file,
                                 const Clock& clock = Clock::system());

// Errors name the file; kCorrupt: it is damaged, or no backup.
Result<BackupInfo> check_backup(const std::string& file);
// Makes an embedded store's database in a folder that has none, with all revisions as they were.
Result<BackupInfo> restore_folder(const std::string& file, const std::string& folder);
// Writes everything into a store without keys. Revisions are its own.
Result<BackupInfo> restore_store(const std::string& file, Store& store);

// Reads the bytes of a file, and calls for each record and lease.
struct BackupContent {
  std::function<Result<>(RecordPtr)> record;
  std::function<Result<>(LeaseId, int64_t ttl)> lease;
};
Result<BackupInfo> read_backup(std::string_view bytes, const BackupContent& content);
// ... what is between "PROABKP1" and the checksum.
Result<BackupInfo> read_blocks(std::string_view blocks, const BackupContent& content);

}  // namespace proa::kube::store
