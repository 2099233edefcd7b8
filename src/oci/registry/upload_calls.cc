// Uploads and mounts of blobs (distribution-spec "Pushing blobs", "Cancel a blob upload", "Mounting a blob from another
// repository").
#include <algorithm>

#include "net/conditional.h"
#include "oci/registry/call.h"

namespace proa::oci::registry {

using image::Digest;
using image::Hasher;
using net::Task;

namespace {

// Bytes gathered before they are handed to a thread that hashes and writes them.
constexpr size_t kPiece = 512u << 10;

// Writes what a body brings while more of it comes in: one piece is gathered as the other is written.
class Pipe {
 public:
  Pipe(net::Loops& loops, Upload& upload) : loops_(loops), upload_(upload) {}

  Task<Result<>> add(std::string_view bytes) {
    gathered_.append(bytes);
    if (gathered_.size() >= kPiece) CO_TRY(co_await write_on());
    co_return Result<>();
  }
  // To be awaited before this is destroyed.
  Task<Result<>> finish() {
    const Result<> written = co_await write_on();
    const Result<> last = co_await settle();
    co_return written ? last : written;
  }

 private:
  Task<Result<>> write_on() {
    CO_TRY(co_await settle());
    std::swap(gathered_, writing_);
    gathered_.clear();
    if (writing_.empty()) co_return Result<>();
    busy_ = true;
    loops_.post_blocking([this] {
      outcome_ = upload_.write(writing_);
      done_.notify();
    });
    co_return Result<>();
  }
  Task<Result<>> settle() {
    if (busy_) co_await done_.wait();
    busy_ = false;
    co_return outcome_;
  }

  net::Loops& loops_;
  Upload& upload_;
  std::string gathered_, writing_;
  net::Event done_;
  Result<> outcome_;
  bool busy_ = false;
};

}  // namespace

Answer<Hasher::Algorithm> Call::algorithm_wanted() const {
  const std::string_view name = query_.get("digest-algorithm");
  if (name.empty() || name == "sha256") return Hasher::Algorithm::kSha256;
  if (name == "sha512") return Hasher::Algorithm::kSha512;
  return refuse(Code::kDigestInvalid, "digest-algorithm: must be sha256 or sha512");
}

Call::Reply Call::post_upload() {
  CO_TRY(may_write());
  Hasher::Algorithm algorithm = CO_TRY(algorithm_wanted());
  if (query_.contains("mount")) {
    if (CO_TRY(co_await mount())) co_return co_await created(CO_TRY(digest_of(query_.get("mount"))));
    algorithm = Hasher::algorithm_of(CO_TRY(digest_of(query_.get("mount"))));
  } else if (query_.contains("digest")) {
    const Digest digest = CO_TRY(digest_of(query_.get("digest")));
    co_return co_await upload_whole(digest);
  }
  const std::string id = CO_TRY(co_await net::blocking([&] { return api_.uploads_.start(repository(), algorithm); }));
  co_return co_await accepted(id, 0, 202);
}

// False: the client has to upload it. Content is given only to those who may pull it where it is.
Task<Answer<bool>> Call::mount() {
  const Digest digest = CO_TRY(digest_of(query_.get("mount")));
  const std::string from(query_.get("from"));
  const auto may_pull = [&](const std::string& name) {
    return has(api_.authenticator_.allowed(identity_, name), Action::kPull);
  };
  if (!from.empty()) {
    if (!valid_repository(from)) co_return refuse(Code::kNameInvalid, "from: \"", from, "\" is no repository name");
    if (api_.authenticator_.allowed_by_another_token(identity_, from, Action::kPull)) {
      scope_ += cat(" ", scope_of(from, Action::kPull));
      co_return refuse(Code::kUnauthorized, "the token does not let ", from, " be pulled");
    }
    if (!may_pull(from)) co_return false;
    co_return CO_TRY(co_await net::blocking([&] { return repositories().mount_blob(repository(), from, digest); }));
  }
  if (!api_.options_.automatic_mount) co_return false;
  co_return CO_TRY(co_await net::blocking([&]() -> Result<bool> {
    if (!TRY(repositories().store().has(digest))) return false;
    for (const std::string& name : TRY(repositories().all_names()))
      if (TRY(repositories().has_blob(name, digest)) && may_pull(name) &&
          TRY(repositories().mount_blob(repository(), name, digest)))
        return true;
    return false;
  }));
}

Call::Reply Call::upload_whole(const Digest& digest) {
  const std::string id =
      CO_TRY(co_await net::blocking([&] { return api_.uploads_.start(repository(), Hasher::algorithm_of(digest)); }));
  Upload upload = CO_TRY(co_await net::blocking([&] { return api_.uploads_.take(repository(), id); }));
  const Answer<> received = co_await receive(upload);
  if (!received) {
    // Nobody knows the session's id.
    static_cast<void>(co_await net::blocking([&] { return upload.cancel(); }));
    co_return received;
  }
  co_return co_await finish(upload, digest);
}

Call::Reply Call::use_upload() {
  CO_TRY(may_write());
  const bool known = is("GET") || is("PATCH") || is("PUT") || is("DELETE");
  if (!known) co_return co_await not_for("GET, PATCH, PUT, DELETE");
  Upload upload = CO_TRY(co_await net::blocking([&] { return api_.uploads_.take(repository(), route_.reference); }));
  if (is("PATCH")) co_return co_await patch_upload(upload);
  if (is("PUT")) co_return co_await put_upload(upload);
  if (is("GET")) co_return co_await accepted(upload.id(), upload.offset(), 204);
  CO_TRY(co_await net::blocking([&] { return upload.cancel(); }));
  response_.status = 204;
  CO_TRY(co_await response_.send());
  co_return Answer<>();
}

Answer<> Call::check_range(const Upload& upload) {
  const auto header = request_.headers().find("Content-Range");
  if (!header) return {};
  const auto range = net::parse_content_range(*header);
  if (!range) return refuse(Code::kBlobUploadInvalid, "Content-Range: \"", *header, "\" must be FIRST-LAST");
  if (range->first != upload.offset()) {
    describe_upload(upload.id(), upload.offset());
    return refuse(416, Code::kBlobUploadInvalid, "Content-Range: begins at ", range->first, ", but ", upload.offset(),
                  " bytes are there");
  }
  const auto length = request_.content_length();
  if (length && *length != range->size())
    return refuse(Code::kSizeInvalid, "Content-Range: has ", range->size(), " bytes, Content-Length says ", *length);
  return {};
}

Call::Reply Call::patch_upload(Upload& upload) {
  CO_TRY(check_range(upload));
  CO_TRY(co_await receive(upload));
  co_return co_await accepted(upload.id(), upload.offset(), 202);
}

Call::Reply Call::put_upload(Upload& upload) {
  const Digest digest = CO_TRY(digest_of(query_.get("digest")));
  CO_TRY(check_range(upload));
  CO_TRY(co_await receive(upload));
  co_return co_await finish(upload, digest);
}

// The body, to the end of the upload. What arrives stays, even if the rest does not.
Call::Reply Call::receive(Upload& upload) {
  request_.set_max_body(0);
  const uint64_t limit = api_.options_.max_blob_bytes;
  const auto too_large = [&] {
    return refuse(413, Code::kSizeInvalid, "a blob must not be larger than ", limit, " bytes");
  };
  if (limit != 0 && upload.offset() + request_.content_length().value_or(0) > limit) co_return too_large();
  Pipe pipe(request_.loop().loops(), upload);
  uint64_t size = 0;
  Answer<> outcome;
  const uint64_t begin = upload.offset();
  while (outcome) {
    const auto piece = co_await request_.read();
    if (!piece)
      outcome = refuse(400, Code::kBlobUploadInvalid, "the body did not arrive: ", piece.error().message());
    else if (piece->empty())
      break;
    else if (size += piece->size(); limit != 0 && begin + size > limit)
      outcome = too_large();
    else if (auto added = co_await pipe.add(*piece); !added)
      outcome = std::unexpected(std::move(added).error());
  }
  const Result<> written = co_await pipe.finish();
  api_.metrics_.received_bytes += size;
  if (outcome && !written) outcome = std::unexpected(written.error());
  co_return outcome;
}

Call::Reply Call::finish(Upload& upload, const Digest& digest) {
  CO_TRY(co_await net::blocking([&] { return upload.finish(digest); }));
  co_return co_await created(digest);
}

void Call::describe_upload(const std::string& id, uint64_t offset) {
  response_.headers.set("Location", cat("/v2/", repository(), "/blobs/uploads/", id));
  response_.headers.set("Range", cat("0-", offset == 0 ? 0 : offset - 1));
  response_.headers.set("Docker-Upload-UUID", id);
}

Call::Reply Call::accepted(std::string id, uint64_t offset, int status) {
  describe_upload(id, offset);
  response_.status = status;
  CO_TRY(co_await response_.send());
  co_return Answer<>();
}

Call::Reply Call::created(const Digest& digest) {
  response_.status = 201;
  response_.headers.set("Location", cat("/v2/", repository(), "/blobs/", digest.text()));
  response_.headers.set("Docker-Content-Digest", digest.text());
  CO_TRY(co_await response_.send());
  co_return Answer<>();
}

}  // namespace proa::oci::registry
