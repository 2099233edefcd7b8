#include "cli/registry_config.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/text.h"
#include "base/values.h"
#include "base/yaml.h"
#include "engine/folders.h"
#include "kernel/file.h"
#include "oci/image/json_fields.h"

namespace proa::cli {

using oci::image::Fields;
using oci::registry::CollectOptions;
using oci::registry::ServeSettings;
using oci::registry::UpstreamSettings;
using std::chrono::seconds;

namespace {

constexpr size_t kMostMirrors = 100;

// Reads the members of one object that are there, and knows which there may be.
class Section {
 public:
  explicit Section(const Fields& in) : in_(in) {}

  Result<> text(std::string_view key, std::string& to) {
    if (known(key)) to = TRY(in_.text(key));
    return {};
  }
  Result<> texts(std::string_view key, std::vector<std::string>& to) {
    if (!known(key)) return {};
    if (in_.find(key)->is_string())
      to = {TRY(in_.text(key))};
    else
      to = TRY(in_.texts(key));
    return {};
  }
  Result<> flag(std::string_view key, bool& to) {
    if (known(key)) to = TRY(in_.flag(key));
    return {};
  }
  template <typename T>
  Result<> count(std::string_view key, T& to) {
    if (!known(key)) return {};
    const int64_t number = TRY(in_.integer(key));
    if (number < 0) return fail(in_.at(key), ": must not be negative");
    to = static_cast<T>(number);
    return {};
  }
  // A number of bytes, or a text like "5g".
  template <typename T>
  Result<> bytes(std::string_view key, T& to) {
    if (!known(key)) return {};
    if (!in_.find(key)->is_string()) return count(key, to);
    const std::string text = TRY(in_.text(key));
    const int64_t number = TRY_CTX(parse_bytes(text), in_.at(key));
    if (number < 0) return fail(in_.at(key), ": must not be negative");
    to = static_cast<T>(number);
    return {};
  }
  // A number of seconds, or a text like "1h30m".
  Result<> duration(std::string_view key, seconds& to) {
    if (!known(key)) return {};
    double number = 0;
    if (in_.find(key)->is_string()) {
      const std::string text = TRY(in_.text(key));
      number = TRY_CTX(parse_duration(text), in_.at(key));
    } else {
      number = static_cast<double>(TRY(in_.integer(key)));
    }
    if (number < 0) return fail(in_.at(key), ": must not be negative");
    to = seconds(static_cast<int64_t>(number));
    return {};
  }
  Result<std::optional<Fields>> section(std::string_view key) {
    if (!known(key)) return std::nullopt;
    return in_.fields(key);
  }
  Result<std::vector<Fields>> list(std::string_view key) {
    if (!known(key)) return std::vector<Fields>();
    return in_.list(key, kMostMirrors);
  }
  // After all have been asked for.
  Result<> no_others() const {
    for (const auto& member : in_.object())
      if (std::ranges::find(keys_, std::string_view(member.key())) == keys_.end())
        return fail(in_.at(member.key()), ": there is no such field");
    return {};
  }

 private:
  // Whether it is there.
  bool known(std::string_view key) {
    keys_.push_back(key);
    return in_.find(key) != nullptr;
  }
  const Fields& in_;
  std::vector<std::string_view> keys_;
};

Result<> read_tls(const Fields& fields, oci::registry::TlsSettings& out) {
  Section in(fields);
  TRY(in.text("certificate", out.certificate));
  TRY(in.text("key", out.key));
  TRY(in.text("client_ca", out.client_ca));
  TRY(in.flag("client_required", out.client_required));
  TRY(in.flag("tls12", out.allow_tls12));
  return in.no_others();
}

Result<> read_token(const Fields& fields, oci::registry::AuthSettings& out) {
  Section in(fields);
  TRY(in.flag("own", out.own_tokens));
  TRY(in.text("key", out.token_key));
  TRY(in.duration("lifetime", out.token_lifetime));
  TRY(in.text("realm", out.token_realm));
  TRY(in.text("service", out.service));
  TRY(in.text("issuer", out.issuer));
  TRY(in.text("certificates", out.certificates));
  TRY(in.text("jwks", out.jwks));
  return in.no_others();
}

Result<> read_auth(const Fields& fields, oci::registry::AuthSettings& out) {
  Section in(fields);
  TRY(in.text("realm", out.realm));
  TRY(in.text("htpasswd", out.htpasswd));
  TRY(in.text("policy", out.policy));
  TRY(in.flag("anonymous_pull", out.anonymous_pull));
  TRY(in.flag("client_certificates", out.client_certificates));
  if (const auto token = TRY(in.section("token"))) TRY(read_token(*token, out));
  return in.no_others();
}

Result<> read_storage(const Fields& fields, ServeSettings& out) {
  Section in(fields);
  TRY(in.flag("read_only", out.read_only));
  TRY(in.flag("delete", out.deletes));
  TRY(in.flag("automatic_mount", out.automatic_mount));
  TRY(in.flag("sparse", out.sparse));
  TRY(in.bytes("max_blob", out.max_blob_bytes));
  TRY(in.bytes("max_manifest", out.max_manifest_bytes));
  TRY(in.duration("upload_expiry", out.gc.upload_expiry));
  return in.no_others();
}

Result<> read_gc(const Fields& fields, ServeSettings& out) {
  Section in(fields);
  TRY(in.duration("interval", out.gc_interval));
  TRY(in.duration("grace", out.gc.grace));
  TRY(in.flag("untagged", out.gc.untagged));
  return in.no_others();
}

Result<UpstreamSettings> read_mirror(const Fields& fields) {
  Section in(fields);
  UpstreamSettings out;
  TRY(in.text("prefix", out.prefix));
  TRY(in.text("url", out.url));
  TRY(in.text("user", out.user));
  TRY(in.text("password", out.password));
  TRY(in.text("password_file", out.password_file));
  TRY(in.text("ca", out.ca_file));
  TRY(in.flag("insecure", out.insecure));
  TRY(in.duration("tag_ttl", out.tag_ttl));
  TRY(in.bytes("max_size", out.max_bytes));
  TRY(in.no_others());
  if (out.url.empty()) return fail(fields.at("url"), ": missing");
  return out;
}

Result<> read_others(Section& in, ServeSettings& out) {
  if (const auto limits = TRY(in.section("limits"))) {
    Section inner(*limits);
    TRY(inner.count("requests", out.max_requests));
    TRY(inner.no_others());
  }
  if (const auto metrics = TRY(in.section("metrics"))) {
    Section inner(*metrics);
    TRY(inner.text("listen", out.metrics_listen));
    TRY(inner.no_others());
  }
  if (const auto log = TRY(in.section("log"))) {
    Section inner(*log);
    TRY(inner.flag("access", out.access_log));
    TRY(inner.no_others());
  }
  for (const Fields& each : TRY(in.list("mirrors"))) out.mirrors.push_back(TRY(read_mirror(each)));
  return {};
}

Result<> set_seconds(const Invocation& in, std::string_view flag, seconds& to) {
  if (!in.is_set(flag)) return {};
  const double number = in.seconds(flag).value_or(0);
  if (number < 0) return fail("flag --", flag, ": must not be negative");
  to = seconds(static_cast<int64_t>(number));
  return {};
}

void set_text(const Invocation& in, std::string_view flag, std::string& to) {
  if (in.is_set(flag)) to = in.text(flag);
}

Result<> add_flags(const Invocation& in, ServeSettings& out) {
  if (in.is_set("listen")) out.listen = in.texts("listen");
  set_text(in, "tls-cert", out.tls.certificate);
  set_text(in, "tls-key", out.tls.key);
  set_text(in, "tls-client-ca", out.tls.client_ca);
  set_text(in, "htpasswd", out.auth.htpasswd);
  set_text(in, "policy", out.auth.policy);
  if (in.is_set("anonymous-pull")) out.auth.anonymous_pull = in.on("anonymous-pull");
  if (in.is_set("token")) out.auth.own_tokens = in.on("token");
  if (in.is_set("read-only")) out.read_only = in.on("read-only");
  if (in.is_set("delete")) out.deletes = in.on("delete");
  if (in.is_set("max-blob-size"))
    out.max_blob_bytes = static_cast<uint64_t>(std::max<int64_t>(0, *in.bytes("max-blob-size")));
  if (in.is_set("max-requests")) out.max_requests = *in.whole("max-requests");
  set_text(in, "metrics-listen", out.metrics_listen);
  if (in.is_set("access-log")) out.access_log = in.on("access-log");
  TRY(set_seconds(in, "gc-interval", out.gc_interval));
  TRY(set_seconds(in, "drain", out.drain));
  for (const std::string& url : in.texts("mirror-of")) {
    UpstreamSettings upstream;
    const size_t equals = url.find('=');
    const bool prefixed = equals != std::string::npos && equals < url.find(':');
    upstream.prefix = prefixed ? url.substr(0, equals) : "";
    upstream.url = prefixed ? url.substr(equals + 1) : url;
    upstream.max_bytes = static_cast<uint64_t>(std::max<int64_t>(0, in.bytes("mirror-size").value_or(0)));
    out.mirrors.push_back(std::move(upstream));
  }
  return add_gc_flags(in, out.gc);
}

Result<> check(const ServeSettings& settings) {
  if (settings.listen.empty()) return fail("listen: must name an address");
  if (settings.max_manifest_bytes > (4u << 20)) return fail("storage.max_manifest: must not be more than 4 MiB");
  if (settings.auth.token_lifetime.count() < 30) return fail("auth.token.lifetime: must be 30 s or more");
  return {};
}

}  // namespace

Result<> read_registry_config(std::string_view text, ServeSettings& settings) {
  const boost::json::value document = TRY(yaml::parse(text, {.unique_keys = true}));
  const Fields fields = TRY(Fields::of(document, ""));
  Section in(fields);
  TRY(in.text("root", settings.root));
  TRY(in.texts("listen", settings.listen));
  if (const auto tls = TRY(in.section("tls"))) TRY(read_tls(*tls, settings.tls));
  if (const auto auth = TRY(in.section("auth"))) TRY(read_auth(*auth, settings.auth));
  if (const auto storage = TRY(in.section("storage"))) TRY(read_storage(*storage, settings));
  if (const auto gc = TRY(in.section("gc"))) TRY(read_gc(*gc, settings));
  TRY(in.duration("drain", settings.drain));
  TRY(read_others(in, settings));
  return in.no_others();
}

std::string registry_root(const Invocation& in) {
  const std::string root = in.text("root");
  return root.empty() ? cat(engine::Folders::standard().data, "/registry") : root;
}

Result<> add_gc_flags(const Invocation& in, CollectOptions& options) {
  TRY(set_seconds(in, "gc-grace", options.grace));
  TRY(set_seconds(in, "upload-expiry", options.upload_expiry));
  if (in.is_set("untagged")) options.untagged = in.on("untagged");
  return {};
}

Result<ServeSettings> registry_settings(const Invocation& in) {
  ServeSettings settings;
  if (const std::string file = in.text("config"); !file.empty()) {
    const std::string text = TRY_CTX(kernel::read_file(file.c_str()), "--config");
    TRY_CTX(read_registry_config(text, settings), file);
  }
  if (settings.root.empty() || in.is_set("root")) settings.root = registry_root(in);
  TRY(add_flags(in, settings));
  TRY(check(settings));
  return settings;
}

}  // namespace proa::cli
