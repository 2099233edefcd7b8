#include "oci/registry/uploads.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/ids.h"
#include "base/text.h"
#include "kernel/file.h"
#include "oci/image/store_folder.h"

namespace proa::oci::registry {

using image::Digest;
using image::Hasher;

namespace {

// Each holds a descriptor.
constexpr size_t kMostResting = 1024;

std::string record_path(const std::string& id) { return cat("uploads/", id); }
std::string part_path(const std::string& id) { return cat("ingest/session-", id); }

bool valid_id(std::string_view id) {
  return id.size() == 36 &&
         std::ranges::all_of(id, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-'; });
}

struct Record {
  std::string repository;
  Hasher::Algorithm algorithm;
};

Result<std::optional<Record>> read_record(int root, const std::string& id) {
  const auto text = kernel::read_file_at(root, record_path(id).c_str(), 4096);
  if (!text && text.error().code() == ENOENT) return std::nullopt;
  if (!text) return std::unexpected(text.error());
  std::string_view rest = *text;
  Record out;
  out.repository = cut(rest, '\n');
  out.algorithm = cut(rest, '\n') == "sha512" ? Hasher::Algorithm::kSha512 : Hasher::Algorithm::kSha256;
  return out;
}

}  // namespace

Result<std::string> Uploads::start(const std::string& repository, Hasher::Algorithm algorithm) {
  std::string id = TRY(random_uuid());
  const std::string text = cat(repository, "\n", algorithm == Hasher::Algorithm::kSha512 ? "sha512" : "sha256", "\n");
  const Fd file =
      TRY(kernel::open_at(repositories_.root_fd(), record_path(id).c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600));
  TRY_CTX(kernel::write_all(file.get(), text), "upload ", id);
  return id;
}

Answer<Upload> Uploads::take(const std::string& repository, const std::string& id) {
  if (!valid_id(id)) return refuse(Code::kBlobUploadUnknown, "no upload has the id \"", id, "\"");
  const auto record = TRY(read_record(repositories_.root_fd(), id));
  if (!record || record->repository != repository)
    return refuse(Code::kBlobUploadUnknown, "there is no upload ", id, " in repository ", repository);
  const auto busy = [&] {
    return refuse(409, Code::kBlobUploadInvalid, "upload ", id, " is being written by another request");
  };
  if (auto ingest = take_resting(id)) {
    const auto woken = ingest->wake();
    if (woken) return Upload(*this, id, repository, std::move(ingest));
    if (woken.error().code() == EWOULDBLOCK) return busy();
  }
  auto ingest = repositories_.store().session(id, record->algorithm);
  if (!ingest && ingest.error().code() == EWOULDBLOCK) return busy();
  if (!ingest) return std::unexpected(std::move(ingest).error());
  return Upload(*this, id, repository, std::make_unique<image::Ingest>(std::move(*ingest)));
}

std::unique_ptr<image::Ingest> Uploads::take_resting(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = resting_.find(id);
  if (found == resting_.end()) return nullptr;
  auto ingest = std::move(found->second.ingest);
  resting_.erase(found);
  return ingest;
}

void Uploads::put_back(const std::string& id, std::unique_ptr<image::Ingest> ingest) {
  const std::lock_guard lock(mutex_);  // who finds it free finds it here
  ingest->rest();
  if (resting_.size() < kMostResting) resting_[id] = {std::move(ingest), std::chrono::steady_clock::now()};
}

void Uploads::close_idle(std::chrono::seconds age) {
  const auto oldest = std::chrono::steady_clock::now() - age;
  const std::lock_guard lock(mutex_);
  std::erase_if(resting_, [&](const auto& each) { return each.second.since < oldest; });
}

Upload::~Upload() { rest(); }

void Upload::rest() {
  if (ingest_ != nullptr) uploads_->put_back(id_, std::move(ingest_));
}

Answer<> Upload::finish(const Digest& expected) {
  const Repositories& repositories = uploads_->repositories_;
  const image::Lease lease = TRY(repositories.store().lease());
  const auto done = ingest_->commit_as(lease, expected);
  if (!done && done.error().code() != EBADMSG) return std::unexpected(done.error());
  ingest_.reset();
  if (done) TRY(repositories.link_blob(repository_, expected));
  ::unlinkat(repositories.root_fd(), record_path(id_).c_str(), 0);
  if (!done) return refuse(Code::kDigestInvalid, done.error().message());
  return {};
}

Result<> Upload::cancel() {
  ingest_->abandon();
  ingest_.reset();
  return kernel::unlink_at(uploads_->repositories_.root_fd(), record_path(id_).c_str());
}

Result<size_t> remove_expired_uploads(const Repositories& repositories, std::chrono::seconds age) {
  const int root = repositories.root_fd();
  const time_t oldest = ::time(nullptr) - age.count();
  size_t count = 0;
  for (const std::string& id : TRY(image::detail::list_folder(root, "uploads"))) {
    struct stat info{};
    if (::fstatat(root, part_path(id).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) continue;
    if (::fstatat(root, record_path(id).c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || info.st_mtime > oldest) continue;
    if (::unlinkat(root, record_path(id).c_str(), 0) == 0) ++count;
  }
  return count;
}

}  // namespace proa::oci::registry
