// One request of the API, on its way through: call.cc leads it, blob_calls.cc, manifest_calls.cc, upload_calls.cc and
// list_calls.cc answer it.
#pragma once

#include <string>
#include <string_view>

#include "net/conditional.h"
#include "net/server.h"
#include "net/url.h"
#include "oci/registry/api.h"
#include "oci/registry/refusal.h"
#include "oci/registry/route.h"

namespace proa::oci::registry {

class Fetch;

class Call {
 public:
  using Reply = net::Task<Answer<>>;

  Call(Api& api, net::Request& request, net::Response& response);
  Reply run();
  net::Task<Result<>> refuse_with(const Refusal& refusal);

  Place place() const { return route_.place; }
  const std::string& user() const { return identity_.user; }
  uint64_t sent() const { return sent_; }

 private:
  Reply dispatch();
  Reply serve_health();
  Reply serve_metrics();
  // What the request's method needs.
  Answer<> authorize();
  Reply not_for(std::string_view allowed);
  bool is(std::string_view method) const { return request_.method() == method; }
  bool is_get() const { return is("GET") || is("HEAD"); }
  const Repositories& repositories() const { return api_.repositories_; }
  const std::string& repository() const { return route_.repository; }
  Answer<> may_write() const;
  Answer<> may_delete() const;
  Answer<image::Digest> digest_of(std::string_view text) const;
  // 404 for what is not in the repository, or for the repository itself.
  Reply unknown(Code code, std::string what);
  Reply send_json(std::string body);
  // ETag, digest; true: the client has it already, and 304 was set.
  bool describe(const image::Digest& digest);
  void link_to_next(const std::string& path, uint64_t n, const std::string& last);
  Answer<std::optional<uint64_t>> page_size() const;

  Reply get_blob();
  Reply delete_blob();
  Reply get_mirrored_blob(const image::Digest& digest);
  // What part of `size` bytes to send, status and headers set; 416 as a refusal.
  Answer<net::ByteRange> part_to_send(const image::Digest& digest, uint64_t size);
  Reply send_fetched(Fetch& fetch, const image::Digest& digest);
  bool mirrored() const;

  Reply get_manifest();
  Reply put_manifest();
  Reply delete_manifest();
  net::Task<Answer<StoredManifest>> find_manifest();
  Answer<std::vector<std::string>> tags_to_put() const;
  bool condition_holds(const image::Digest& before) const;

  Reply post_upload();
  net::Task<Answer<bool>> mount();
  Answer<image::Hasher::Algorithm> algorithm_wanted() const;
  Reply upload_whole(const image::Digest& digest);
  Reply use_upload();
  Reply patch_upload(Upload& upload);
  Reply put_upload(Upload& upload);
  Reply receive(Upload& upload);
  Answer<> check_range(const Upload& upload);
  Reply finish(Upload& upload, const image::Digest& digest);
  Reply accepted(std::string id, uint64_t offset, int status);
  Reply created(const image::Digest& digest);
  void describe_upload(const std::string& id, uint64_t offset);

  Reply list_tags();
  Reply list_catalog();
  Reply list_referrers();

  Api& api_;
  net::Request& request_;
  net::Response& response_;
  Route route_;
  net::Query query_;
  Identity identity_;
  std::string scope_;  // what the client needs to be allowed
  uint64_t sent_ = 0;
};

}  // namespace proa::oci::registry
