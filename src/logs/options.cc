#include "logs/options.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "base/values.h"
#include "kernel/file.h"

namespace proa::logs {
namespace {

using Names = std::initializer_list<std::string_view>;

constexpr uint16_t kSyslogPort = 514, kSyslogTlsPort = 6514, kFluentdPort = 24224, kGelfPort = 12201;

struct Driver {
  std::string_view name;
  bool forwarded = false;
  bool details = false;  // tag, labels, env and their expressions
  Names options;
};
constexpr Names kDetailNames = {"tag", "labels", "labels-regex", "env", "env-regex"};
constexpr Names kCacheNames = {"cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"};
constexpr Names kFileNames = {"max-size", "max-file", "compress"};
constexpr Names kSyslogNames = {"syslog-address",  "syslog-facility", "syslog-format",         "syslog-tls-ca-cert",
                                "syslog-tls-cert", "syslog-tls-key",  "syslog-tls-skip-verify"};
constexpr Names kGelfNames = {"gelf-address", "gelf-compression-type", "gelf-compression-level",
                              "gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"};
constexpr Names kFluentdNames = {"fluentd-address",
                                 "fluentd-async",
                                 "fluentd-async-reconnect-interval",
                                 "fluentd-buffer-limit",
                                 "fluentd-max-retries",
                                 "fluentd-request-ack",
                                 "fluentd-retry-wait",
                                 "fluentd-sub-second-precision",
                                 "fluentd-write-timeout"};
constexpr Driver kDrivers[] = {
    {.name = "json-file", .details = true, .options = kFileNames},
    {.name = "local", .options = kFileNames},
    {.name = "k8s-file", .options = kFileNames},
    {.name = "none", .options = {}},
    {.name = "journald", .forwarded = true, .details = true, .options = {}},
    {.name = "syslog", .forwarded = true, .details = true, .options = kSyslogNames},
    {.name = "gelf", .forwarded = true, .details = true, .options = kGelfNames},
    {.name = "fluentd", .forwarded = true, .details = true, .options = kFluentdNames},
};

const Driver* find_driver(std::string_view name) {
  const auto found = std::ranges::find(kDrivers, name, &Driver::name);
  return found == std::end(kDrivers) ? nullptr : &*found;
}

bool has(Names names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

Failure unknown(const std::string& driver, const std::string& name) {
  if (driver == "local") return fail("unknown log opt '", name, "' for log driver local");
  return fail("unknown log opt '", name, "' for ", driver, " log driver");
}

Result<> check_size(const StringMap& options, const char* name) {
  const std::string text = option_of(options, name);
  if (text.empty() || text == "-1") return {};
  if (const int64_t size = TRY_CTX(parse_bytes(text), "log opt ", name); size <= 0)
    return fail("invalid value for ", name, ": ", text, ": must be a positive number of bytes");
  return {};
}

Result<> check_files(const StringMap& options, const char* size, const char* files, const char* compress) {
  TRY(check_size(options, size));
  if (const std::string text = option_of(options, files); !text.empty()) {
    const auto number = parse_number<int64_t>(text);
    if (!number) return fail("invalid value for ", files, ": '", text, "' is not a number of files");
    if (*number < 1) return fail(files, " cannot be less than 1");
    if (*number > 1000) return fail(files, " cannot be more than 1000");
  }
  const std::string text = option_of(options, compress);
  if (text.empty()) return {};
  if (TRY_CTX(parse_bool(text), "log opt ", compress) &&
      (option_of(options, size) == "-1" || number_of(options, files, 2) < 2))
    return fail(compress, " cannot be true when ", files, " is less than 2 or ", size, " is not set");
  return {};
}

// What every driver takes.
Result<> check_mode(const StringMap& options) {
  const std::string mode = option_of(options, "mode");
  if (!mode.empty() && mode != "blocking" && mode != "non-blocking")
    return fail("logger: logging mode not supported: ", mode).hint("blocking or non-blocking");
  if (const std::string size = option_of(options, "max-buffer-size"); !size.empty()) {
    if (mode != "non-blocking")
      return fail("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    if (TRY_CTX(parse_bytes(size), "error parsing option max-buffer-size") <= 0)
      return fail("error parsing option max-buffer-size: '", size, "' is no size of a buffer");
  }
  return {};
}

Result<> check_flag(const StringMap& options, const char* name) {
  if (const std::string text = option_of(options, name); !text.empty()) TRY_CTX(parse_bool(text), "log opt ", name);
  return {};
}

Result<> check_number(const StringMap& options, const char* name, int64_t least, int64_t most) {
  const std::string text = option_of(options, name);
  if (text.empty()) return {};
  const auto number = parse_number<int64_t>(text);
  if (!number || *number < least || *number > most)
    return fail("invalid value for ", name, ": '", text, "' is not a number from ", least, " to ", most);
  return {};
}

Result<> check_duration(const StringMap& options, const char* name, double least, double most) {
  const std::string text = option_of(options, name);
  if (text.empty()) return {};
  const double seconds = TRY_CTX(parse_duration(text), "invalid value for ", name);
  if (seconds != 0 && (seconds < least || seconds > most))
    return fail("invalid value for ", name, ": ", text, " is out of range");
  return {};
}

Result<> check_syslog(const StringMap& options) {
  TRY(facility_of(option_of(options, "syslog-facility")));
  const std::string format = option_of(options, "syslog-format");
  if (!format.empty() && format != "rfc3164" && format != "rfc5424" && format != "rfc5424micro")
    return fail("Invalid syslog format").hint("rfc3164, rfc5424 or rfc5424micro");
  TRY(check_flag(options, "syslog-tls-skip-verify"));
  const Address address = TRY(address_of("syslog", options));
  if (address.scheme == "unix" || address.scheme == "unixgram")
    if (!kernel::path_exists(address.path.c_str())) return fail_errno(ENOENT, "syslog-address: ", address.path);
  for (const char* name : {"syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key"}) {
    const std::string file = option_of(options, name);
    if (file.empty()) continue;
    if (address.scheme != "tcp+tls") return fail(name, " is only of use with a syslog-address of tcp+tls://");
    if (!kernel::path_exists(file.c_str())) return fail_errno(ENOENT, name, ": ", file);
  }
  return {};
}

Result<> check_gelf(const StringMap& options) {
  const Address address = TRY(address_of("gelf", options));
  for (const auto& [name, value] : options) {
    if ((name == "gelf-compression-level" || name == "gelf-compression-type") && address.scheme != "udp")
      return fail("compression is only supported on UDP");
    const auto number = parse_number<int64_t>(value);
    const bool level = name == "gelf-compression-level" && (!number || *number < -1 || *number > 9);
    const bool type = name == "gelf-compression-type" && value != "gzip" && value != "zlib" && value != "none";
    if (level || type) return fail("unknown value \"", value, "\" for log opt \"", name, "\" for gelf log driver");
    if (name == "gelf-tcp-max-reconnect" || name == "gelf-tcp-reconnect-delay") {
      if (address.scheme != "tcp") return fail("\"", name, "\" is only valid for TCP");
      if (!number || *number < 0) return fail("\"", name, "\" must be a positive integer");
    }
  }
  return {};
}

Result<> check_fluentd(const StringMap& options) {
  TRY(address_of("fluentd", options));
  for (const char* name : {"fluentd-async", "fluentd-request-ack", "fluentd-sub-second-precision"})
    TRY(check_flag(options, name));
  TRY(check_size(options, "fluentd-buffer-limit"));
  TRY(check_number(options, "fluentd-max-retries", 0, 4294967295));
  TRY(check_duration(options, "fluentd-retry-wait", 0.001, 3600));
  TRY(check_duration(options, "fluentd-write-timeout", 0.001, 3600));
  TRY(check_duration(options, "fluentd-async-reconnect-interval", 0.1, 10));
  return {};
}

Result<Address> parse_address(std::string_view text, std::string_view otherwise, uint16_t port) {
  Address out;
  const size_t at = text.find("://");
  out.scheme = at == std::string_view::npos ? otherwise : text.substr(0, at);
  std::string_view rest = at == std::string_view::npos ? text : text.substr(at + 3);
  if (out.scheme.starts_with("unix")) {
    out.path = rest;
    if (!rest.starts_with('/')) return fail("the path of ", text, " must be absolute");
    return out;
  }
  if (const size_t path = rest.find('/'); path != std::string_view::npos) {
    if (path + 1 != rest.size()) return fail("should not have a path element: ", text);
    rest.remove_suffix(1);
  }
  out.port = port;
  const size_t bracket = rest.starts_with('[') ? rest.find(']') : std::string_view::npos;
  const size_t colon = bracket == std::string_view::npos ? rest.rfind(':') : rest.find(':', bracket);
  if (colon != std::string_view::npos) {
    const auto number = parse_number<uint16_t>(rest.substr(colon + 1));
    if (!number || *number == 0) return fail("invalid port in address ", text);
    out.port = *number;
    rest = rest.substr(0, colon);
  }
  if (bracket != std::string_view::npos) rest = rest.substr(1, bracket - 1);
  if (rest.find_first_of("[]@? ") != std::string_view::npos) return fail("invalid host in address ", text);
  out.host = rest;
  return out;
}

}  // namespace

std::string Address::text() const {
  if (scheme.empty()) return "the host's syslog";
  if (!path.empty()) return cat(scheme, "://", path);
  const bool v6 = host.find(':') != std::string::npos;
  return cat(scheme, "://", v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

std::string option_of(const StringMap& options, const char* name, std::string_view otherwise) {
  const auto found = options.find(name);
  return found == options.end() || found->second.empty() ? std::string(otherwise) : found->second;
}
bool flag_of(const StringMap& options, const char* name, bool otherwise) {
  const std::string text = option_of(options, name);
  return text.empty() ? otherwise : parse_bool(text).value_or(otherwise);
}
int64_t number_of(const StringMap& options, const char* name, int64_t otherwise) {
  return parse_number<int64_t>(option_of(options, name)).value_or(otherwise);
}

Result<int> facility_of(std::string_view text) {
  static constexpr std::string_view kNames[] = {"kern",   "user",   "mail",   "daemon", "auth",     "syslog",
                                                "lpr",    "news",   "uucp",   "cron",   "authpriv", "ftp",
                                                "",       "",       "",       "",       "local0",   "local1",
                                                "local2", "local3", "local4", "local5", "local6",   "local7"};
  if (text.empty()) return 3;
  if (const auto number = parse_number<int>(text); number && *number >= 0 && *number <= 23) return *number;
  const auto found = std::ranges::find(kNames, text);
  if (found == std::end(kNames))
    return fail("invalid syslog facility").hint("kern, user, daemon, local0 or their numbers");
  return static_cast<int>(found - std::begin(kNames));
}

Result<Address> address_of(const std::string& driver, const StringMap& options) {
  const std::string name = driver + "-address", text = option_of(options, name.c_str());
  if (driver == "syslog") {
    if (text.empty()) return Address();
    if (text.find("://") == std::string::npos)
      return fail("syslog-address should be in form proto://address, got ", text);
    Address out = TRY_CTX(parse_address(text, "", kSyslogPort), name);
    if (!has({"udp", "tcp", "tcp+tls", "unix", "unixgram"}, out.scheme))
      return fail("syslog-address should be in form proto://address, got ", text)
          .hint("proto is udp, tcp, tcp+tls, unix or unixgram");
    if (out.scheme == "tcp+tls" && text.rfind(':') == text.find(':')) out.port = kSyslogTlsPort;
    if (out.path.empty() && out.host.empty()) out.host = "127.0.0.1";
    return out;
  }
  if (driver == "gelf") {
    if (text.empty()) return fail("gelf-address is a required parameter");
    if (text.find("://") == std::string::npos)
      return fail("gelf-address should be in form proto://address, got ", text);
    Address out = TRY_CTX(parse_address(text, "", kGelfPort), name);
    if (out.scheme != "udp" && out.scheme != "tcp") return fail("gelf: endpoint needs to be TCP or UDP");
    if (out.host.empty()) return fail("gelf: please provide gelf-address as proto://host:port");
    return out;
  }
  Address out = TRY_CTX(parse_address(text.empty() ? "127.0.0.1" : text, "tcp", kFluentdPort), name);
  if (out.scheme == "tls") out.scheme = "tcp+tls";
  if (!has({"tcp", "tcp+tls", "unix"}, out.scheme))
    return fail("unsupported scheme: \"", out.scheme, "\"").hint("tcp, tls or unix");
  if (out.path.empty() && out.host.empty()) out.host = "127.0.0.1";
  return out;
}

bool is_forwarded(std::string_view name) {
  const Driver* driver = find_driver(name);
  return driver != nullptr && driver->forwarded;
}

Result<> check_options(const std::string& name, const StringMap& options) {
  const Driver* driver = find_driver(name);
  if (driver == nullptr)
    return fail("logger: no log driver named '", name, "' is registered")
        .hint("json-file, local, k8s-file, journald, syslog, gelf, fluentd or none");
  TRY(check_mode(options));
  for (const auto& [key, value] : options) {
    const bool everywhere = key == "mode" || key == "max-buffer-size";
    if (everywhere || has(driver->options, key) || (driver->details && has(kDetailNames, key)) ||
        (driver->forwarded && has(kCacheNames, key)))
      continue;
    return unknown(name, key);
  }
  TRY(check_files(options, "max-size", "max-file", "compress"));
  TRY(check_flag(options, "cache-disabled"));
  TRY(check_files(options, "cache-max-size", "cache-max-file", "cache-compress"));
  if (const std::string tag = option_of(options, "tag"); !tag.empty()) TRY(check_tag(tag));
  for (const char* expression : {"labels-regex", "env-regex"})
    if (const std::string text = option_of(options, expression); !text.empty()) TRY(check_regex(text));
  if (name == "syslog") return check_syslog(options);
  if (name == "gelf") return check_gelf(options);
  if (name == "fluentd") return check_fluentd(options);
  return {};
}

uint64_t buffer_of(const StringMap& options) {
  constexpr int64_t kUsual = 1 << 20;
  if (option_of(options, "mode") != "non-blocking") return 0;
  return static_cast<uint64_t>(parse_bytes(option_of(options, "max-buffer-size")).value_or(kUsual));
}

Storage storage_of(const std::string& name, const StringMap& options) {
  Storage out;
  out.enabled = name != "none";
  const bool forwarded = is_forwarded(name);
  out.readable = out.enabled && !flag_of(options, "cache-disabled");
  out.cri = name == "k8s-file" || name == "cri" || forwarded;
  const char* prefix = forwarded ? "cache-" : "";
  if (forwarded) out.max_size = 20u << 20, out.max_files = 5;
  const auto key = [&](const char* rest) { return std::string(prefix) + rest; };
  if (const std::string text = option_of(options, key("max-size").c_str()); !text.empty()) {
    const int64_t size = parse_bytes(text).value_or(-1);
    out.max_size = size < 0 ? 0 : static_cast<uint64_t>(size);
  }
  out.max_files = static_cast<unsigned>(number_of(options, key("max-file").c_str(), out.max_files));
  // One file starts anew when it is full, with what is not sent yet.
  if (forwarded) out.max_files = std::max(out.max_files, 2U);
  out.compress = out.max_files > 1 && out.max_size != 0 && flag_of(options, key("compress").c_str(), forwarded);
  // Of what is sent elsewhere the newest is kept, and the files are the buffer.
  if (!forwarded) out.buffer = buffer_of(options);
  return out;
}

}  // namespace proa::logs
