// Where the engine keeps things.
//
//   DATA/containers/ID/   config.json, state.json, log, hosts, hostname, resolv.conf
//   DATA/names/NAME       link to the id: the index that keeps names unique
//   DATA/volumes/NAME/    volume.json, _data
//   DATA/events/log       one line of JSON an event
//   DATA/trash/           on its way out
//   DATA/images/          the image store
//   RUN/ID/exec/EXEC/     config.json, process.json, shim/ of one more program in it
//   RUN/ID/               OCI bundle, root file system's mount point, shim/ (docs/shim.md)
//   RUN/runtime/          the OCI runtime's state
#pragma once

#include <string>
#include <string_view>

namespace proa::engine {

struct Folders {
  std::string data;  // /var/lib/proa, or $PROA_ROOT; without root $XDG_DATA_HOME/proa
  std::string run;   // /run/proa/engine, or $PROA_RUN; without root $XDG_RUNTIME_DIR/proa/engine

  static Folders standard();

  std::string containers() const { return data + "/containers"; }
  std::string container(std::string_view id) const { return data + "/containers/" + std::string(id); }
  std::string names() const { return data + "/names"; }
  std::string volumes() const { return data + "/volumes"; }
  std::string events() const { return data + "/events"; }
  std::string trash() const { return data + "/trash"; }
  std::string images() const { return data + "/images"; }
  std::string bundle(std::string_view id) const { return run + "/" + std::string(id); }
  std::string shim(std::string_view id) const { return bundle(id) + "/shim"; }
  std::string execs(std::string_view id) const { return bundle(id) + "/exec"; }
  std::string runtime() const { return run + "/runtime"; }
  // What fabric/ keeps: networks for good, endpoints until the next boot.
  std::string network() const { return data + "/network"; }
  std::string network_run() const;
};

}  // namespace proa::engine
