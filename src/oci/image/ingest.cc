// Blobs on their way in.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "base/ids.h"
#include "kernel/file.h"
#include "oci/image/store.h"
#include "oci/image/store_folder.h"

namespace proa::oci::image {

using detail::FileLock;
using detail::StoreFolder;

namespace {

// The disk is set to work after so many bytes, so that the sync at the end finds little left to do.
constexpr uint64_t kWriteBehind = 8u << 20;

Result<> flock_file(int fd, bool wait, const Digest& digest) {
  while (::flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
    if (errno == EWOULDBLOCK)
      return fail_errno(EWOULDBLOCK, "blob ", digest.text(), " is being written by another process");
    if (errno != EINTR) return fail_errno(errno, "lock part of blob ", digest.text());
  }
  return {};
}

std::unexpected<Error> fail_mismatch(const std::string& what, uint64_t size, const Digest& digest) {
  return std::unexpected(Error(cat(what, ": the ", size, " bytes that arrived have digest ", digest.text()), EBADMSG));
}

}  // namespace

struct Ingest::State {
  State(Store s, const Lease* l, IngestOptions o) : store(std::move(s)), lease(l), options(std::move(o)) {}
  Store store;
  const Lease* lease;
  IngestOptions options;
  bool session = false;
  bool complete = false;
  Fd fd{};             // of a part, locked
  std::string path{};  // of the part; empty: the file has no name yet
  Hasher hasher{};
  uint64_t offset = 0, started = 0;

  const StoreFolder& folder() const { return *store.folder_; }
  int root() const { return store.root_fd(); }
  std::string what() const { return options.expected.empty() ? "blob" : cat("blob ", options.expected.text()); }

  void start_over() { hasher = Hasher(hasher.algorithm()); }
  Result<> hash_what_is_there();
  Result<> open_unnamed();
  Result<> place(const Digest& digest);
};

// Reads a part left by an earlier process, so that the digest goes on from its end.
Result<> Ingest::State::hash_what_is_there() {
  start_over();
  offset = 0;
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "read part of ", what());
  std::vector<std::byte> buffer(1u << 20);
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read part of ", what());
    if (got == 0) break;
    hasher.update(std::span(buffer).first(static_cast<size_t>(got)));
    offset += static_cast<uint64_t>(got);
  }
  started = offset;
  return {};
}

// A file without a name vanishes with the process; where the file system has none, a named one stands in.
Result<> Ingest::State::open_unnamed() {
  start_over();
  auto unnamed = kernel::open_at(root(), "ingest", O_TMPFILE | O_RDWR, 0644);
  if (unnamed) {
    fd = std::move(*unnamed);
    return {};
  }
  const FileLock lock = TRY(FileLock::shared(root(), detail::kLock));
  path = cat("ingest/tmp-", TRY(random_hex(8)));
  fd = TRY(kernel::open_at(root(), path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0644));
  return flock_file(fd.get(), true, options.expected);
}

Result<Ingest> Store::ingest(const Lease& lease, const IngestOptions& options) const {
  if (!options.expected.empty()) return resume(lease, options);
  auto state = std::make_unique<Ingest::State>(*this, &lease, options);
  TRY_CTX(state->open_unnamed(), "blob");
  return Ingest(std::move(state));
}

Result<Ingest> Store::resume(const Lease& lease, const IngestOptions& options) const {
  const std::string path = detail::part_path(options.expected);
  for (;;) {
    auto state = std::make_unique<Ingest::State>(*this, &lease, options);
    state->hasher = Hasher::like(options.expected);
    if (TRY(keep(lease, options.expected))) {
      state->complete = true;
      state->offset = TRY(blob_size(options.expected));
      if (options.size && *options.size != state->offset)
        return fail(state->what(), ": has ", state->offset, " bytes, not ", *options.size);
      return Ingest(std::move(state));
    }
    Fd fd = TRY(kernel::open_at(root_fd(), path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW, 0644));
    TRY(flock_file(fd.get(), options.wait, options.expected));
    // While we waited the part may have become the blob, or been thrown away.
    if (!detail::still_names(root_fd(), path.c_str(), fd.get())) continue;
    state->fd = std::move(fd);
    state->path = path;
    TRY(state->hash_what_is_there());
    Ingest ingest(std::move(state));
    if (options.size && ingest.offset() > *options.size) TRY(ingest.restart());
    return ingest;
  }
}

Result<Ingest> Store::session(const std::string& name, Hasher::Algorithm algorithm) const {
  const std::string path = cat("ingest/session-", name);
  for (;;) {
    auto state = std::make_unique<Ingest::State>(*this, nullptr, IngestOptions{});
    state->session = true;
    state->hasher = Hasher(algorithm);
    state->fd = TRY(kernel::open_at(root_fd(), path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW, 0644));
    TRY(flock_file(state->fd.get(), false, {}));
    // A collection may have thrown it away before the lock was on it.
    if (!detail::still_names(root_fd(), path.c_str(), state->fd.get())) continue;
    state->path = path;
    TRY(state->hash_what_is_there());
    return Ingest(std::move(state));
  }
}

void Ingest::rest() { ::flock(state_->fd.get(), LOCK_UN); }

Result<> Ingest::wake() {
  TRY(flock_file(state_->fd.get(), false, {}));
  if (!detail::still_names(state_->root(), state_->path.c_str(), state_->fd.get()))
    return fail_errno(ENOENT, "part of blob");
  const auto info = TRY(kernel::stat_fd(state_->fd.get()));
  if (static_cast<uint64_t>(info.st_size) != state_->offset) TRY(state_->hash_what_is_there());
  return {};
}

Ingest::Ingest(std::unique_ptr<State> state) : state_(std::move(state)) {}
Ingest::Ingest(Ingest&&) noexcept = default;
Ingest& Ingest::operator=(Ingest&&) noexcept = default;
Ingest::~Ingest() {
  if (state_ != nullptr && !state_->session && !state_->complete &&
      (state_->options.expected.empty() || state_->offset == 0))
    abandon();
}

bool Ingest::complete() const { return state_->complete; }
uint64_t Ingest::offset() const { return state_->offset; }

Result<Fd> Ingest::reader() const {
  if (state_->complete) return state_->store.open_blob(state_->options.expected);
  // Opened anew: a duplicate would hold the lock on the part for as long as it lives.
  return TRY_CTX(kernel::open(kernel::FdPath(state_->fd.get()).c_str(), O_RDONLY), state_->what());
}

Result<> Ingest::restart() {
  if (state_->offset == 0) return {};
  if (::ftruncate(state_->fd.get(), 0) != 0 || ::lseek(state_->fd.get(), 0, SEEK_SET) != 0)
    return fail_errno(errno, "empty part of ", state_->what());
  state_->offset = state_->started = 0;
  state_->start_over();
  return {};
}

Result<> Ingest::write(std::span<const std::byte> bytes) {
  State& state = *state_;
  if (state.options.size && state.offset + bytes.size() > *state.options.size) {
    const uint64_t size = *state.options.size;
    abandon();
    return fail(state.what(), ": more than the ", size, " bytes announced");
  }
  state.hasher.update(bytes);
  TRY_CTX(kernel::write_all(state.fd.get(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()}), state.what());
  state.offset += bytes.size();
  if (state.folder().sync != Sync::kNone && state.offset - state.started >= kWriteBehind) {
    ::sync_file_range(state.fd.get(), static_cast<off_t>(state.started),
                      static_cast<off_t>(state.offset - state.started), SYNC_FILE_RANGE_WRITE);
    state.started = state.offset;
  }
  return {};
}

Result<> Ingest::State::place(const Digest& digest) {
  const std::string blob = detail::blob_path(digest);
  const FileLock lock = TRY(FileLock::shared(root(), detail::kLock));
  TRY(lease->protect(digest));
  if (path.empty()) {
    if (::linkat(AT_FDCWD, kernel::FdPath(fd.get()).c_str(), root(), blob.c_str(), AT_SYMLINK_FOLLOW) != 0 &&
        errno != EEXIST)
      return fail_errno(errno, "link blob ", digest.text());
    return {};
  }
  if (::renameat(root(), path.c_str(), root(), blob.c_str()) != 0)
    return fail_errno(errno, "rename blob ", digest.text());
  return {};
}

Result<Digest> Ingest::commit() {
  State& state = *state_;
  if (state.complete) return state.options.expected;
  Digest digest = state.hasher.finish();
  if (state.options.size && state.offset != *state.options.size) {
    // A part: what is missing may still come.
    return fail(state.what(), ": only ", state.offset, " of ", *state.options.size, " bytes arrived");
  }
  if (!state.options.expected.empty() && digest != state.options.expected) {
    const uint64_t size = state.offset;
    abandon();
    return fail_mismatch(state.what(), size, digest);
  }
  if (state.folder().sync != Sync::kNone && ::fdatasync(state.fd.get()) != 0)
    return fail_errno(errno, "fdatasync ", state.what());
  TRY(state.place(digest));
  state.complete = true;
  state.fd.reset();
  TRY(detail::sync_folder(state.folder(), cat("blobs/", digest.algorithm()).c_str()));
  return digest;
}

Result<Digest> Ingest::commit_as(const Lease& lease, const Digest& expected) {
  State& state = *state_;
  state.lease = &lease;
  state.options.expected = expected;
  if (state.hasher.algorithm() != Hasher::algorithm_of(expected)) {
    state.hasher = Hasher::like(expected);
    TRY(state.hash_what_is_there());
  }
  return commit();
}

void Ingest::abandon() {
  if (state_ == nullptr || state_->complete || !state_->fd) return;
  if (!state_->path.empty()) ::unlinkat(state_->root(), state_->path.c_str(), 0);
  state_->fd.reset();
  state_->offset = 0;
}

}  // namespace proa::oci::image
