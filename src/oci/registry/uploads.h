// Uploads in progress (distribution-spec "Pushing blobs"). A session is a record, ROOT/uploads/ID, and a part of a
// blob in the store; both outlive the server, and any process on the same root can go on with it.
//
// Threads: any number. All functions may block.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "oci/image/store.h"
#include "oci/registry/refusal.h"
#include "oci/registry/repositories.h"

namespace proa::oci::registry {

class Uploads;

// One session, to whom nobody else can add until this ends. Not thread-safe.
class Upload {
 public:
  Upload(Upload&&) noexcept = default;
  Upload& operator=(Upload&&) = delete;
  // What was written stays for the next to go on with.
  ~Upload();

  const std::string& id() const { return id_; }
  // Bytes there.
  uint64_t offset() const { return ingest_->offset(); }
  Result<> write(std::string_view bytes) { return ingest_->write(bytes); }
  // Ends the session: the blob is in the store and linked in the repository, on the disk. DIGEST_INVALID if it is
  // another one; the session has ended then, too.
  Answer<> finish(const image::Digest& expected);
  // Lets others go on with it; nothing but id() may be called any more.
  void rest();
  // Ends it without a blob.
  Result<> cancel();

 private:
  friend class Uploads;
  Upload(Uploads& uploads, std::string id, std::string repository, std::unique_ptr<image::Ingest> ingest)
      : uploads_(&uploads), id_(std::move(id)), repository_(std::move(repository)), ingest_(std::move(ingest)) {}
  Uploads* uploads_;
  std::string id_, repository_;
  std::unique_ptr<image::Ingest> ingest_;  // null once it has ended
};

class Uploads {
 public:
  explicit Uploads(Repositories repositories) : repositories_(std::move(repositories)) {}
  const Repositories& repositories() const { return repositories_; }

  // A new session's id.
  Result<std::string> start(const std::string& repository, image::Hasher::Algorithm algorithm);
  // BLOB_UPLOAD_UNKNOWN if there is none of that repository, 409 while somebody else writes.
  Answer<Upload> take(const std::string& repository, const std::string& id);
  // Closes what nobody has used for so long; it can still be taken.
  void close_idle(std::chrono::seconds age);

 private:
  friend class Upload;
  struct Resting {
    std::unique_ptr<image::Ingest> ingest;
    std::chrono::steady_clock::time_point since;
  };
  void put_back(const std::string& id, std::unique_ptr<image::Ingest> ingest);
  std::unique_ptr<image::Ingest> take_resting(const std::string& id);

  const Repositories repositories_;
  std::mutex mutex_;
  std::unordered_map<std::string, Resting> resting_;  // open, with the digest's state; guarded by mutex_
};

// Records of sessions whose part is gone and that are older than `age`: removed. Their number.
Result<size_t> remove_expired_uploads(const Repositories& repositories, std::chrono::seconds age);

}  // namespace proa::oci::registry
