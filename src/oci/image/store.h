// The image store: content-addressed blobs on disk in OCI layout (image-spec image-layout.md), names for
// images, and what keeps both safe among many processes without a daemon.
//
//   ROOT/oci-layout, index.json       the layout; index.json follows refs/ and is for other tools to read
//   ROOT/blobs/ALGORITHM/HEX          whole and verified; a file here never changes
//   ROOT/ingest/ALGORITHM-HEX         part of a blob on its way; its writer holds a lock on it
//   ROOT/refs/KEY                     one image name and what it points to
//   ROOT/leases/ID                    digests that a living process needs; locked by it
//   ROOT/layers/CHAINID, snapshots/ID see snapshot.h
//   ROOT/trash/                       on its way out
//   ROOT/lock                         shared: to add content; exclusive: for a collection's sweep
//
// Everything appears by rename or link, so a process that dies at any instruction leaves either nothing, a
// part that the next one goes on with, or litter that collect() removes. With Sync::kData content and names
// are on the disk before they are told of.
//
// Threads and processes: any number of both may use one store at once. A Store is a cheap handle; copies
// share it. Errors name the blob or the image.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/image/digest.h"
#include "oci/image/types.h"

namespace proa::oci::image {

enum class Sync : uint8_t {
  kNone,  // safe against kill -9, not against loss of power
  kData,
};

struct StoreOptions {
  std::string root;  // made when missing
  Sync sync = Sync::kData;
};

namespace detail {
struct StoreFolder;
}
class Lease;
class Ingest;
class Collector;

// A name and what it points to.
struct Ref {
  std::string name;    // "docker.io/library/alpine:latest"; "@sha256:..." for an image without a name
  Descriptor target;   // of a manifest or an index
  std::string tagged;  // RFC 3339: when the name was given
  bool unnamed() const { return name.starts_with('@'); }
};

// How one blob is to come in.
struct IngestOptions {
  Digest expected;               // empty: whatever it turns out to be, and not resumable
  std::optional<uint64_t> size;  // refused as soon as there is more
  bool wait = true;              // for another writer of the same blob; else EWOULDBLOCK
};

struct CollectOptions {
  std::chrono::seconds partial_age = std::chrono::hours(24);  // parts untouched for so long go too
  bool dry_run = false;
  // Names more that is needed, for a store whose blobs other records point to. Called twice: first without the
  // lock, then under it, when nobody adds content.
  std::function<Result<>(const std::function<void(const Digest&)>& keep)> mark = {};
  // Manifests that names of this index no longer need. Other names, leases and snapshots keep what they need.
  Digest index = {};
  std::set<Digest> unwanted = {};
};
struct Collected {
  std::vector<Digest> blobs;
  size_t layers = 0, parts = 0;
  uint64_t bytes = 0;
};

class Store {
 public:
  static Result<Store> open(const StoreOptions& options);
  const std::string& root() const;
  int root_fd() const;
  Sync sync() const;
  // For other records that are kept beside the blobs (store_folder.h).
  const detail::StoreFolder& folder() const { return *folder_; }

  // Held as long as the content that it protects is not yet reached from a name.
  Result<Lease> lease() const;

  // --- blobs
  Result<bool> has(const Digest& digest) const;
  // ENOENT when it is not there.
  Result<Fd> open_blob(const Digest& digest) const;
  Result<uint64_t> blob_size(const Digest& digest) const;
  // A document, verified as it is read.
  Result<std::string> read_blob(const Digest& digest, size_t limit = kLargestDocument) const;
  // Of one blob there is one Ingest at a time: a second one in the same thread would wait for itself.
  Result<Ingest> ingest(const Lease& lease, const IngestOptions& options) const;
  // A blob whose digest is told at its end (commit_as), its part known by a name: other processes may go on with it
  // while this Ingest rests. EWOULDBLOCK while one of them has it.
  Result<Ingest> session(const std::string& name, Hasher::Algorithm algorithm) const;
  // A document in one go.
  Result<Digest> put_blob(const Lease& lease, std::string_view text) const {
    return put_blob(lease, text, Digest::of(text));
  }
  // ... whose digest is known.
  Result<Digest> put_blob(const Lease& lease, std::string_view text, const Digest& digest) const;
  // Protects a blob that may be there already; false: it is not.
  Result<bool> keep(const Lease& lease, const Digest& digest) const;

  // --- names
  // What the name pointed to alone stays, unnamed, until it is pruned.
  Result<> put_ref(const std::string& name, const Descriptor& target) const;
  Result<std::optional<Ref>> find_ref(std::string_view name) const;
  // False: there was none. With `expected` only when it still points there.
  Result<bool> remove_ref(std::string_view name, const Digest& expected = {}) const;
  // Sorted by name.
  Result<std::vector<Ref>> refs() const;

  // Removes what neither a name, a lease nor a snapshot reaches, while others add and read.
  Result<Collected> collect(const CollectOptions& options = {}) const;

  // Moves ROOT/`folder`/`name` to the trash at once and then empties that; ENOENT when it is not there.
  Result<> discard(const char* folder, const std::string& name) const;

 private:
  friend class Lease;
  friend class Ingest;
  friend class Collector;
  explicit Store(std::shared_ptr<const detail::StoreFolder> folder) : folder_(std::move(folder)) {}
  // index.json as refs/ is, where a command was killed between the two. Under the exclusive lock.
  Result<> refresh_index() const;
  Result<Ingest> resume(const Lease& lease, const IngestOptions& options) const;
  std::shared_ptr<const detail::StoreFolder> folder_;
};

// Thread-safe. Ends with its object, or its process.
class Lease {
 public:
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) = delete;
  ~Lease();

  // Blobs and layers (by chain id) alike; to be called before looking whether they are there.
  Result<> protect(const Digest& digest) const;

 private:
  friend class Store;
  struct State;
  explicit Lease(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A blob on its way in. What was written stays for a later resumption when this goes uncommitted, unless it
// was found wrong. Not thread-safe; movable between threads.
class Ingest {
 public:
  Ingest(Ingest&&) noexcept;
  Ingest& operator=(Ingest&&) noexcept;
  ~Ingest();

  // The blob is in the store already: there is nothing to write.
  bool complete() const;
  // Bytes there: writing goes on from here.
  uint64_t offset() const;
  // Another descriptor of what is there, for somebody who reads (pread(2)) behind the writer.
  Result<Fd> reader() const;
  // Drops them, for a source that cannot be resumed.
  Result<> restart();
  Result<> write(std::span<const std::byte> bytes);
  Result<> write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  // Verifies digest and size and makes the blob seen. A blob found wrong is removed: EBADMSG. Once.
  Result<Digest> commit();
  // The same for a session's.
  Result<Digest> commit_as(const Lease& lease, const Digest& expected);
  // Sessions: lets others have the part; takes it back, with what they added. ENOENT: it is gone.
  void rest();
  Result<> wake();
  // Removes what was written.
  void abandon();

 private:
  friend class Store;
  struct State;
  explicit Ingest(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The blobs that a manifest or index reaches, itself first; children that are not in the store are left out.
// `visit` may be told of one blob more than once. Those in `without` are passed over, with what they reach.
Result<> visit_closure(const Store& store, const Descriptor& root,
                       const std::function<Result<>(const Descriptor&)>& visit, const std::set<Digest>& without = {});

}  // namespace proa::oci::image
