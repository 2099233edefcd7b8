#include "kube/store/backup.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <unordered_set>

#include "base/digest.h"
#include "kernel/file.h"
#include "kube/store/embedded.h"
#include "kube/store/journal.h"
#include "kube/store/record_wire.h"
#include "kube/store/wire.h"

namespace proa::kube::store {

namespace {

constexpr std::string_view kMagic = "PROABKP1";
constexpr Revision kMostRevision = Revision{1} << (62 - Journal::kOrderBits);
constexpr size_t kHead = 5;  // of a block
constexpr size_t kDigest = 32;
constexpr size_t kBuffer = 1 << 20;
constexpr size_t kRestoreBytes = 1 << 20;  // of values in one transaction

// --- writing --------------------------------------------------------------------------------------------------

// Beside the file until it is whole; gone if it never is.
class Writer {
 public:
  static Result<Writer> create(const std::string& file) {
    const std::string part = file + ".part";
    Fd fd = TRY(kernel::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
    return Writer(file, part, std::move(fd));
  }
  Writer(Writer&& other) noexcept = default;
  ~Writer() {
    if (fd_) ::unlink(part_.c_str());
  }

  Result<> block(char letter, const std::string& payload) {
    if (payload.size() > std::numeric_limits<uint32_t>::max()) return fail(file_, ": a record is too large");
    buffer_.push_back(letter);
    for (int shift = 0; shift < 32; shift += 8) buffer_.push_back(static_cast<char>(payload.size() >> shift));
    buffer_.append(payload);
    if (buffer_.size() >= kBuffer) return flush();
    return {};
  }
  Result<> record(const Record& record) {
    ++records_;
    return block('R', encode_record(record));
  }
  Result<> lease(LeaseId id, int64_t ttl) {
    ++leases_;
    return block('L', WireWriter().number(1, id).number(2, ttl).take());
  }
  Result<BackupInfo> finish(BackupInfo info) {
    info.records = records_;
    info.leases = leases_;
    TRY(block('E',
              WireWriter().number(1, static_cast<int64_t>(records_)).number(2, static_cast<int64_t>(leases_)).take()));
    TRY(flush());
    buffer_ = sha_.finish();
    TRY(flush());
    info.bytes = written_;
    if (::fsync(fd_.get()) != 0) return fail_errno(errno, part_, ": fsync");
    if (::rename(part_.c_str(), file_.c_str()) != 0) return fail_errno(errno, "rename ", part_, " to ", file_);
    fd_.reset();
    const std::string folder = file_.find('/') == std::string::npos ? "." : file_.substr(0, file_.rfind('/') + 1);
    const Fd above = TRY(kernel::open(folder.c_str(), O_RDONLY | O_DIRECTORY));
    if (::fsync(above.get()) != 0) return fail_errno(errno, folder, ": fsync");
    return info;
  }

 private:
  Writer(std::string file, std::string part, Fd fd)
      : file_(std::move(file)), part_(std::move(part)), fd_(std::move(fd)), buffer_(kMagic) {}
  Result<> flush() {
    sha_.update(buffer_);
    TRY_CTX(kernel::write_all(fd_.get(), buffer_), part_);
    written_ += buffer_.size();
    buffer_.clear();
    return {};
  }

  std::string file_;
  std::string part_;
  Fd fd_;
  std::string buffer_;
  Sha2 sha_;
  uint64_t written_ = 0;
  uint64_t records_ = 0;
  uint64_t leases_ = 0;
};

bool by_revision(const RecordPtr& a, const RecordPtr& b) {
  return std::pair(a->mod_revision(), a->order()) < std::pair(b->mod_revision(), b->order());
}

Result<BackupInfo> write(const std::string& file, BackupInfo info, std::vector<RecordPtr> records,
                         const std::vector<Lease>& leases) {
  std::ranges::sort(records, by_revision);
  Writer out = TRY(Writer::create(file));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(info.created).time_since_epoch().count();
  TRY(out.block('H', WireWriter().number(1, info.revision).number(2, seconds).bytes(3, info.kind).take()));
  for (const Lease& lease : leases) TRY(out.lease(lease.id, lease.ttl));
  for (const RecordPtr& record : records) TRY(out.record(*record));
  return out.finish(std::move(info));
}

// --- reading --------------------------------------------------------------------------------------------------

uint32_t block_size(std::string_view head) {
  uint32_t size = 0;
  for (size_t i = 1; i < kHead; ++i) size |= uint32_t{static_cast<unsigned char>(head[i])} << (8 * (i - 1));
  return size;
}

std::pair<int64_t, int64_t> two_numbers(std::string_view payload) {
  std::pair<int64_t, int64_t> numbers;
  WireReader in(payload);
  while (in.next())
    if (in.field() == 1)
      numbers.first = in.number();
    else if (in.field() == 2)
      numbers.second = in.number();
  return numbers;
}

BackupInfo read_head(std::string_view payload) {
  const auto [revision, seconds] = two_numbers(payload);
  BackupInfo info{.revision = revision, .kind = {}, .created = WallTime(std::chrono::seconds(seconds % 9'000'000'000))};
  WireReader in(payload);
  while (in.next())
    if (in.field() == 3) info.kind = in.bytes();
  return info;
}

// Up to its end and digest, which are found to be right.
Result<std::string_view> check_digest(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return fail_as(Code::kCorrupt, "this is no backup of a store");
  if (bytes.size() < kMagic.size() + kDigest) return fail_as(Code::kCorrupt, "the backup is cut off");
  const std::string_view content = bytes.substr(0, bytes.size() - kDigest);
  Sha2 sha;
  sha.update(content);
  if (sha.finish() != bytes.substr(content.size()))
    return fail_as(Code::kCorrupt, "the backup is damaged or cut off: its checksum is wrong");
  return content.substr(kMagic.size());
}

// A file's bytes for as long as this lives.
class Mapping {
 public:
  static Result<Mapping> of(const std::string& file) {
    const Fd fd = TRY(kernel::open(file.c_str(), O_RDONLY));
    const struct stat about = TRY(kernel::stat_fd(fd.get()));
    const auto size = static_cast<size_t>(about.st_size);
    if (size == 0) return fail_as(Code::kCorrupt, file, ": the file is empty");
    void* const bytes = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (bytes == MAP_FAILED) return fail_errno(errno, file, ": map");
    return Mapping(static_cast<const char*>(bytes), size);
  }
  Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, nullptr)), size_(other.size_) {}
  ~Mapping() {
    if (bytes_) ::munmap(const_cast<char*>(bytes_), size_);
  }
  std::string_view bytes() const { return {bytes_, size_}; }

 private:
  Mapping(const char* bytes, size_t size) : bytes_(bytes), size_(size) {}
  const char* bytes_;
  size_t size_;
};

Result<BackupInfo> read_file(const std::string& file, const BackupContent& content) {
  const Mapping mapping = TRY(Mapping::of(file));
  return TRY_CTX(read_backup(mapping.bytes(), content), file);
}

BackupContent nothing() {
  return {.record = [](const RecordPtr&) -> Result<> { return {}; },
          .lease = [](LeaseId, int64_t) -> Result<> { return {}; }};
}

// Puts together what goes into one transaction.
class Restorer {
 public:
  explicit Restorer(Store& store) : store_(store) {}
  Result<> lease(LeaseId id, int64_t ttl) {
    const auto granted = finish(store_.grant(ttl, id));
    if (!granted && !is(granted.error(), Code::kLeaseExists)) return std::unexpected(granted.error());
    leases_.insert(id);
    return {};
  }
  Result<> add(const RecordPtr& record) {
    const size_t size = record->key().size() + record->value().size();
    if (txn_.success.size() == kMostOperations || (!txn_.success.empty() && bytes_ + size > kRestoreBytes))
      TRY(flush());
    bytes_ += size;
    txn_.compares.push_back(Compare::absent(record->key()));
    // Unless the lease ended while the backup was made.
    const LeaseId lease = leases_.contains(record->lease()) ? record->lease() : 0;
    txn_.success.push_back(Put{Draft(record->key(), record->value(), record->note()), lease});
    return {};
  }
  Result<> flush() {
    if (txn_.success.empty()) return {};
    const auto done = finish(store_.commit(std::exchange(txn_, {})));
    bytes_ = 0;
    if (!done) return std::unexpected(done.error());
    if (!done->succeeded) return fail("somebody else has written to the store meanwhile");
    return {};
  }

 private:
  Store& store_;
  Txn txn_;
  size_t bytes_ = 0;
  std::unordered_set<LeaseId> leases_;
};

}  // namespace

Result<BackupInfo> backup_store(Store& store, const std::string& file, const Clock& clock) {
  TRY(finish(store.fresh()));
  const StoreStatus status = TRY(finish(store.status()));
  const std::vector<Lease> leases = TRY(finish(store.leases()));
  const std::unique_ptr<Snapshot> snapshot = TRY(store.snapshot());
  RangeResult all = snapshot->range({.key = {}, .end = std::string(kToTheEnd)});
  return write(file, {.revision = snapshot->revision(), .kind = status.kind, .created = clock.wall()},
               std::move(all.records), leases);
}

Result<BackupInfo> backup_folder(const std::string& folder, const std::string& file, const Clock& clock) {
  Journal journal = TRY(Journal::open_for_reading(cat(folder, "/", kDatabaseFile)));
  const Journal::Start start = TRY(journal.start());
  Cache cache({.own_thread = false});
  cache.begin_at(start.revision, start.compacted);
  TRY(journal.load([&](RecordPtr record) -> Result<> {
    cache.apply(std::move(record));
    return {};
  }));
  cache.publish(start.revision);
  std::vector<Lease> leases;
  TRY(journal.load_leases([&](LeaseId id, int64_t ttl) { leases.push_back({.id = id, .ttl = ttl}); }));
  RangeResult all = TRY(cache.range({.key = {}, .end = std::string(kToTheEnd)}));
  return write(file, {.revision = start.revision, .kind = "embedded", .created = clock.wall()}, std::move(all.records),
               leases);
}

Result<BackupInfo> read_backup(std::string_view bytes, const BackupContent& content) {
  const std::string_view blocks = TRY(check_digest(bytes));
  BackupInfo info = TRY(read_blocks(blocks, content));
  info.bytes = bytes.size();
  return info;
}

Result<BackupInfo> read_blocks(std::string_view rest, const BackupContent& content) {
  BackupInfo info;
  bool headed = false;
  Revision last = 0;
  uint32_t order = 0;
  for (;;) {
    if (rest.size() < kHead || rest.size() - kHead < block_size(rest))
      return fail_as(Code::kCorrupt, "the backup's end is missing");
    const char letter = rest.front();
    const std::string_view payload = rest.substr(kHead, block_size(rest));
    rest.remove_prefix(kHead + payload.size());
    if (headed != (letter != 'H')) return fail_as(Code::kCorrupt, "the backup does not begin with its head");
    if (letter == 'E') break;
    if (letter == 'H') {
      info = read_head(payload);
      headed = true;
      if (info.revision <= 0 || info.revision >= kMostRevision)
        return fail_as(Code::kCorrupt, "the backup's revision is ", info.revision);
    } else if (letter == 'L') {
      const auto [id, ttl] = two_numbers(payload);
      ++info.leases;
      TRY(content.lease(id, ttl));
    } else if (letter == 'R') {
      RecordFields fields = TRY(decode_record(payload));
      const Revision revision = fields.stamp.mod_revision;
      fields.stamp.order = order = revision == last ? order + 1 : 0;
      if (revision < last || revision > info.revision || order >= Journal::kMostChanges)
        return fail_as(Code::kCorrupt, "the backup's records are out of order");
      last = revision;
      ++info.records;
      TRY(content.record(Draft(fields.key, fields.value, fields.note).finish(fields.stamp)));
    } else {
      return fail_as(Code::kCorrupt, "the backup has a part this program does not know");
    }
  }
  return info;
}

Result<BackupInfo> check_backup(const std::string& file) { return read_file(file, nothing()); }

Result<BackupInfo> restore_folder(const std::string& file, const std::string& folder) {
  const BackupInfo checked = TRY(check_backup(file));
  const std::string database = cat(folder, "/", kDatabaseFile);
  if (kernel::path_exists(database.c_str()))
    return fail_errno(EEXIST, database).hint("move the old store away, or choose another folder");
  TRY(kernel::make_dirs(folder, 0700));
  // Beside it until it is whole.
  const std::string part = cat(folder, "/restore.part");
  const Defer clean([&] {
    for (const char* suffix : {"", "-wal", "-shm"}) ::unlink(cat(part, suffix).c_str());
  });
  for (const char* suffix : {"", "-wal", "-shm"}) ::unlink(cat(part, suffix).c_str());
  {
    Journal journal = TRY(Journal::open(part));
    TRY(read_file(file, {.record = [&](const RecordPtr& record) { return journal.append(*record); },
                         .lease = [&](LeaseId id, int64_t ttl) { return journal.put_lease(id, ttl); }}));
    const Revision revision = checked.revision + kRestoreGap;
    TRY(journal.set_compacted(revision, revision));
    TRY(journal.commit());
    TRY(journal.checkpoint());
  }
  if (::rename(part.c_str(), database.c_str()) != 0) return fail_errno(errno, "rename ", part, " to ", database);
  const Fd above = TRY(kernel::open(folder.c_str(), O_RDONLY | O_DIRECTORY));
  if (::fsync(above.get()) != 0) return fail_errno(errno, folder, ": fsync");
  return checked;
}

Result<BackupInfo> restore_store(const std::string& file, Store& store) {
  const BackupInfo checked = TRY(check_backup(file));
  TRY(finish(store.fresh()));
  const RangeResult there =
      TRY(store.range({.key = {}, .end = std::string(kToTheEnd), .revision = 0, .limit = 1, .count_only = true}));
  if (there.count != 0)
    return fail_errno(EEXIST, "the store has ", there.count, " keys").hint("restore into an empty one");
  Restorer restorer(store);
  TRY(read_file(file, {.record = [&](const RecordPtr& record) { return restorer.add(record); },
                       .lease = [&](LeaseId id, int64_t ttl) { return restorer.lease(id, ttl); }}));
  TRY(restorer.flush());
  return checked;
}

}  // namespace proa::kube::store
