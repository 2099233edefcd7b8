// The criu program (criu(8)) as checkpoint and restore use it: one process of it per request, spoken to
// over a socket pair ("criu swrk"). A criu whose runtime dies sees the socket close and undoes its work.
// Descriptors in a request are those of the socket pair's maker: here criu's own process, which may be in
// another mount namespace than we are.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/process.h"
#include "oci/runtime/criu_rpc.h"
#include "oci/runtime/runtime.h"
#include "oci/runtime/sync.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime::criu {

// Absolute path of the program `name`: as given, or by $PATH and where Debian has it.
Result<std::string> find_program(const std::string& name);

struct Start {
  std::string program;  // absolute
  bool silent = false;  // nothing of its stdout and stderr is wanted
  // Folders (opened in the new process), then descriptors of ours: its kFirstDescriptor and so on.
  std::vector<std::string> folders;
  std::vector<int> inherited;
  uint64_t new_namespaces = 0;
  // Runs in the new process before it becomes criu.
  std::function<Result<>()> prepare;
};
inline constexpr int kFirstDescriptor = 4;

struct Notification {
  const std::string& script;
  pid_t pid;
  std::vector<Fd>& fds;
};
using OnNotify = std::function<Result<>(const Notification&)>;

class Session {
 public:
  // A process that has prepared itself and waits to become criu.
  static Result<Session> start(const Start& start);
  Session(Session&& other) noexcept;
  Session& operator=(Session&&) = delete;
  ~Session();

  pid_t pid() const { return child_.pid; }
  Result<> execute();
  // Sends the request and follows it to its end. A notification answered with an error ends it, and the
  // error is what comes back.
  Result<Response> perform(const Request& request, const OnNotify& on_notify = {});
  // Ends the conversation and waits for criu's own end: its exit status.
  Result<int> finish();

 private:
  Session() = default;
  Result<> send(const Request& request) const;
  Result<Response> receive(std::vector<Fd>& fds) const;

  std::string program_;
  kernel::Child child_;
  Sync sync_;
  Fd socket_;
};

// 31701 is 3.17.1.
Result<int> version(const std::string& program);
// Fails naming the first of `wanted` that criu or the kernel does not have.
Result<> require_features(const std::string& program, const Features& wanted);

// Where images and logs go.
struct Folders {
  Fd images;
  std::vector<std::string> paths;  // the images' folder and, if it is another, the one for work files: Start's
  std::string log;                 // the log's path
};
// `make`: the images' folder is made where missing.
Result<Folders> open_folders(const CheckpointOptions& options, bool make, const char* log_name);

// What both directions tell criu alike.
Result<Options> common_options(const CheckpointOptions& options, const Folders& folders, const StringMap& annotations);

// `error` with the last errors in criu's log, and the log's path as the hint.
Error explained(Error error, const std::string& log);

// The key by which a network or pid namespace from outside is known in the images; empty for others.
std::string external_key(NamespaceType type);

// Where `path` ends up in the root `root` (O_PATH) with links followed, as the kernel names it: for a root
// in this mount namespace with the root's own path in front. Empty when it is not there.
std::string resolve_in_root(int root, const std::string& path, bool* folder = nullptr);

bool is_bind(const Mount& mount, const Linux& container);
// A view of the cgroups that consists of the host's folders, bound. In a cgroup namespace, and with one
// hierarchy for all, it is a file system as criu knows them.
bool binds_cgroups(const Mount& mount, const Linux& container);

}  // namespace proa::oci::runtime::criu
