// containerd's hosts.toml: where one registry's content may be had, and how each of these servers is spoken to.
//
//   server = "https://registry-1.docker.io"
//   [host."https://mirror.example/hub"]
//     capabilities = ["pull", "resolve"]     # and "push"; all three when left out
//     ca = "mirror.pem"                      # or a list; paths are beside the file
//     client = [["me.pem", "me.key"]]        # or "both.pem"
//     skip_verify = false
//     override_path = false                  # true: no /v2 is added to the path
//     dial_timeout = "5s"
//     [host."https://mirror.example/hub".header]
//       x-team = "web"                       # or a list
//
// The same settings before the first [host] are the server's. Hosts are tried in the file's order, then the server.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace proa::oci::image::remote {

// What a server may be asked for: content by digest, what a tag means, and to take content.
struct Capabilities {
  bool pull = true, resolve = true, push = true;
  bool operator==(const Capabilities&) const = default;
};

struct HostsEntry {
  std::string url;  // with its scheme; of the server empty when the file has none
  Capabilities capabilities;
  bool skip_verify = false, override_path = false;
  std::vector<std::string> authority_files;
  std::string certificate_file, key_file;
  std::vector<std::pair<std::string, std::string>> headers;  // for each request to it
  std::optional<int64_t> connect_timeout_ms;
};

struct HostsFile {
  std::vector<HostsEntry> hosts;  // in order
  HostsEntry server;
};

// `folder`: what relative paths are relative to. Errors name the field. Bounds: 1 MiB, 100 hosts, 100 headers each.
// No file but the text is read.
Result<HostsFile> parse_hosts(std::string_view text, std::string_view folder);

// The names of a registry's folder in certs.d, in the order they are looked for: "HOST_PORT_" stands for HOST:PORT
// where a name must not hold a colon, and _default is for every registry.
std::vector<std::string> hosts_folder_names(std::string_view domain);

}  // namespace proa::oci::image::remote
