#include "oci/image/remote/hosts_file.h"

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "base/toml.h"
#include "base/values.h"
#include "net/headers.h"
#include "net/url.h"
#include "oci/image/json_fields.h"

namespace proa::oci::image::remote {
namespace {

namespace bj = boost::json;

constexpr size_t kMostHosts = 100;
constexpr size_t kMostHeaders = 100;
constexpr size_t kMostFiles = 100;
constexpr double kLongestTimeout = 3600;

// Settings of later releases are no reason to stop.
void warn_of_unknown(const Fields& in, bool top) {
  for (const auto& member : in.object()) {
    const std::string_view key = member.key();
    const bool known = key == "capabilities" || key == "ca" || key == "client" || key == "skip_verify" ||
                       key == "override_path" || key == "header" || key == "dial_timeout" ||
                       (top && (key == "server" || key == "host"));
    if (!known) log::warning("hosts.toml: ", in.at(key), ": is not known and has no effect");
  }
}

// A text, or a list of texts.
Result<std::vector<std::string>> one_or_more(const Fields& in, std::string_view key, size_t most) {
  const bj::value* value = in.find(key);
  if (value != nullptr && value->is_string()) return std::vector<std::string>{TRY(in.text(key))};
  auto out = TRY(in.texts(key));
  if (out.size() > most) return fail(in.at(key), ": more than ", most);
  return out;
}

Result<Capabilities> read_capabilities(const Fields& in) {
  const auto names = TRY(in.texts("capabilities"));
  if (names.empty()) return Capabilities();
  Capabilities out{.pull = false, .resolve = false, .push = false};
  for (const std::string& name : names) {
    if (name == "pull")
      out.pull = true;
    else if (name == "resolve")
      out.resolve = true;
    else if (name == "push")
      out.push = true;
    else
      return fail(in.at("capabilities"), ": \"", name, "\" is none of pull, resolve and push");
  }
  return out;
}

std::string beside(std::string_view folder, const std::string& path) {
  return path.empty() || path.starts_with('/') ? path : cat(folder, "/", path);
}

// "both.pem", ["both.pem"], [["cert.pem", "key.pem"]]; an empty key is in the certificate's file.
Result<> read_client(const Fields& in, std::string_view folder, HostsEntry& to) {
  const bj::value* value = in.find("client");
  if (value == nullptr || value->is_null()) return {};
  const std::string at = in.at("client");
  if (value->is_array() && value->get_array().size() > 1) return fail(at, ": more than one certificate");
  if (value->is_array()) {
    if (value->get_array().empty()) return {};
    value = &value->get_array().front();
  }
  const bj::value* certificate = value;
  const bj::value* key = nullptr;
  if (value->is_array()) {
    const bj::array& pair = value->get_array();
    if (pair.empty() || pair.size() > 2) return fail(at, ": must be [certificate, key]");
    certificate = &pair[0];
    if (pair.size() == 2) key = &pair[1];
  }
  if (!certificate->is_string() || (key != nullptr && !key->is_string())) return fail(at, ": must be names of files");
  to.certificate_file = beside(folder, std::string(certificate->get_string()));
  to.key_file = beside(folder, key == nullptr ? std::string() : std::string(key->get_string()));
  if (to.key_file.empty()) to.key_file = to.certificate_file;
  return {};
}

Result<> read_headers(const Fields& in, HostsEntry& to) {
  const auto fields = TRY(in.fields("header"));
  if (!fields) return {};
  for (const auto& member : fields->object()) {
    const std::string name(member.key());
    if (!net::is_token(name)) return fail(fields->at(name), ": is no name of a header");
    for (std::string& value : TRY(one_or_more(*fields, name, kMostHeaders))) {
      if (!net::is_field_value(value)) return fail(fields->at(name), ": must be one line of text");
      to.headers.emplace_back(name, std::move(value));
    }
    if (to.headers.size() > kMostHeaders) return fail(in.at("header"), ": more than ", kMostHeaders);
  }
  return {};
}

Result<> read_timeout(const Fields& in, HostsEntry& to) {
  const std::string text = TRY(in.text("dial_timeout"));
  if (text.empty()) return {};
  const auto seconds = parse_duration(text);
  if (!seconds || *seconds <= 0 || *seconds > kLongestTimeout)
    return fail(in.at("dial_timeout"), ": \"", text, "\" is no time like 10s");
  to.connect_timeout_ms = static_cast<int64_t>(std::ceil(*seconds * 1000));
  return {};
}

Result<std::string> checked_url(std::string url, const std::string& at) {
  if (url.find("://") == std::string::npos) url = "https://" + url;
  const net::Url parsed = TRY_CTX(net::Url::parse(url), at);
  if (parsed.scheme != "http" && parsed.scheme != "https") return fail(at, ": must begin with https:// or http://");
  if (!parsed.user.empty() || !parsed.password.empty())
    return fail(at, ": must not hold a password").hint("log in: proa login HOST");
  return url;
}

Result<HostsEntry> read_entry(const Fields& in, std::string_view folder, bool top) {
  warn_of_unknown(in, top);
  HostsEntry out;
  out.capabilities = TRY(read_capabilities(in));
  out.skip_verify = TRY(in.flag("skip_verify"));
  out.override_path = TRY(in.flag("override_path"));
  for (const std::string& file : TRY(one_or_more(in, "ca", kMostFiles)))
    out.authority_files.push_back(beside(folder, file));
  TRY(read_client(in, folder, out));
  TRY(read_headers(in, out));
  TRY(read_timeout(in, out));
  return out;
}

}  // namespace

Result<HostsFile> parse_hosts(std::string_view text, std::string_view folder) {
  const bj::value document = TRY(toml::parse(text));
  const Fields top = TRY(Fields::of(document, ""));
  HostsFile out;
  out.server = TRY(read_entry(top, folder, true));
  if (const std::string server = TRY(top.text("server")); !server.empty())
    out.server.url = TRY(checked_url(server, "server"));
  const auto hosts = TRY(top.fields("host"));
  if (!hosts) return out;
  if (hosts->object().size() > kMostHosts) return fail("host: more than ", kMostHosts);
  for (const auto& member : hosts->object()) {
    const std::string url(member.key());
    const auto fields = TRY(hosts->fields(url));
    if (!fields) continue;
    HostsEntry& entry = out.hosts.emplace_back(TRY(read_entry(*fields, folder, false)));
    entry.url = TRY(checked_url(url, cat("host.\"", url, "\"")));
  }
  return out;
}

std::vector<std::string> hosts_folder_names(std::string_view domain) {
  std::vector<std::string> out;
  if (domain.find('/') != std::string_view::npos || domain.starts_with('.')) return out;
  if (const size_t colon = domain.rfind(':'); colon != std::string_view::npos && !domain.ends_with(']'))
    out.push_back(cat(domain.substr(0, colon), "_", domain.substr(colon + 1), "_"));
  out.emplace_back(domain);
  out.emplace_back("_default");
  return out;
}

}  // namespace proa::oci::image::remote
