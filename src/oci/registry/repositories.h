// Repositories on disk, beside the blobs of an image store (image/store.h):
//
//   ROOT/repositories/NAME/_blobs/DIGEST         empty: the repository has this blob
//   ROOT/repositories/NAME/_manifests/DIGEST     ... this manifest: its media type
//   ROOT/repositories/NAME/_tags/TAG             digest of a manifest
//   ROOT/repositories/NAME/_referrers/SUBJECT/DIGEST   a manifest whose subject is SUBJECT: its descriptor
//   ROOT/repositories/NAME/_lock                 held to change manifests and tags
//   ROOT/uploads/ID                              see uploads.h
//
// A blob or manifest is seen only in repositories that have it. What a repository links is kept (collect.h); the time
// of a blob's link says when somebody last relied upon it. Every change is on the disk before its function returns,
// and is made under the store's lock, shared, so that a collection sees all of it or nothing.
//
// Threads and processes: any number of both. All functions may block. Errors name the repository.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/image/digest.h"
#include "oci/image/store.h"

namespace proa::oci::registry {

struct OpenBlob {
  Fd file;
  uint64_t size = 0;
};

struct StoredManifest {
  image::Digest digest;
  std::string media_type;
  std::string text;
};

// Something that a manifest needs to be there.
struct Need {
  image::Digest digest;
  bool manifest = false;
};

struct NewManifest {
  image::Digest digest;  // its blob is in the store, and the caller's lease protects it
  std::string media_type;
  std::vector<std::string> tags;
  std::vector<Need> needs;
  image::Digest subject;   // empty: none
  std::string descriptor;  // for the list of the subject's referrers
  // Under the lock, before anything is written: whether to go on, for conditional requests. Told what the first
  // tag points to, empty if nothing.
  std::function<bool(const image::Digest&)> condition = {};
};
struct PutManifest {
  std::vector<image::Digest> missing;  // then nothing was written
  bool condition_failed = false;       // nor then
};

class Repositories {
 public:
  static Result<Repositories> open(const std::string& root, image::Sync sync = image::Sync::kData);

  const image::Store& store() const { return store_; }
  int root_fd() const { return store_.root_fd(); }

  // Whether anything was ever put there.
  Result<bool> exists(const std::string& name) const;
  // Those that hold a manifest, sorted.
  Result<std::vector<std::string>> names() const;
  // All that have a folder.
  Result<std::vector<std::string>> all_names() const;

  // --- blobs
  Result<std::optional<OpenBlob>> open_blob(const std::string& name, const image::Digest& digest) const;
  Result<bool> has_blob(const std::string& name, const image::Digest& digest) const;
  // ... and who asked relies on it from now on. Its size.
  Result<std::optional<uint64_t>> renew_blob(const std::string& name, const image::Digest& digest) const;
  // Who asked for a manifest relies on it from now on.
  void renew_manifest(const std::string& name, const image::Digest& digest) const;
  // The store has it and the caller's lease protects it.
  Result<> link_blob(const std::string& name, const image::Digest& digest) const;
  // False: `from` has none.
  Result<bool> mount_blob(const std::string& name, const std::string& from, const image::Digest& digest) const;
  Result<bool> remove_blob(const std::string& name, const image::Digest& digest) const;

  // --- manifests and tags
  Result<std::optional<image::Digest>> find_tag(const std::string& name, const std::string& tag) const;
  // Since it was put or renewed.
  Result<std::optional<std::chrono::seconds>> tag_age(const std::string& name, const std::string& tag) const;
  void renew_tag(const std::string& name, const std::string& tag) const;
  Result<std::optional<std::string>> manifest_type(const std::string& name, const image::Digest& digest) const;
  Result<std::optional<StoredManifest>> read_manifest(const std::string& name, const image::Digest& digest) const;
  Result<PutManifest> put_manifest(const std::string& name, const NewManifest& manifest) const;
  // With its tags. `locked`: the caller has the store's lock exclusively.
  Result<bool> remove_manifest(const std::string& name, const image::Digest& digest, bool locked = false) const;
  Result<bool> remove_tag(const std::string& name, const std::string& tag) const;
  // Sorted.
  Result<std::vector<std::string>> tags(const std::string& name) const;
  Result<std::vector<image::Digest>> manifests(const std::string& name) const;
  // Descriptors of the manifests whose subject this is, by digest.
  Result<std::vector<std::string>> referrers(const std::string& name, const image::Digest& subject) const;

 private:
  explicit Repositories(image::Store store) : store_(std::move(store)) {}
  Result<> make_folder(const std::string& path) const;
  Result<> place(const std::string& path, std::string_view text) const;
  Result<> remove_file(const std::string& path) const;
  Result<> unlist_referrer(const std::string& name, const image::Digest& digest) const;
  Result<std::vector<image::Digest>> missing(const std::string& name, const std::vector<Need>& needs) const;

  image::Store store_;
};

// Paths below the root.
std::string repository_path(std::string_view name, std::string_view part = {}, std::string_view entry = {});

}  // namespace proa::oci::registry
