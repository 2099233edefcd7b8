#include "kube/apiserver/access/kubeconfig.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>

#include "base/fd.h"
#include "base/text.h"
#include "base/thread.h"
#include "kernel/file.h"
#include "kube/object/value.h"
#include "kube/object/yaml.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

constexpr size_t kMostBytes = 8u << 20;
// kubectl holds its lock for milliseconds; one older than this is left over.
constexpr int kLockTries = 40;
constexpr std::chrono::milliseconds kLockPause{50};

// The named entry of a list such as `clusters`, made if it is not there.
Value& entry_of(Arena& arena, Value& config, std::string_view list, std::string_view name) {
  Value& entries = *config.find(list);
  for (Value& each : entries.items())
    if (each.string("name") == name) return each;
  Value made = Value::object(arena, 2);
  made.add(arena, "name", Value::text(arena, name));
  entries.push(arena, made);
  return entries.items().back();
}

Value text(Arena& arena, std::string_view value) { return Value::text(arena, value); }
Value base64(Arena& arena, std::string_view value) { return Value::text(arena, net::base64_encode(value)); }

Result<Value> read_config(Arena& arena, std::string_view file) {
  Value config = file.find_first_not_of(" \t\r\n") == std::string_view::npos ? Value() : TRY(read_yaml(arena, file));
  if (config.is_null()) config = Value::object(arena);
  if (!config.is_object()) return fail("is no kubeconfig: an object was expected");
  if (const auto kind = config.string("kind"); !kind.empty() && kind != "Config")
    return fail("is no kubeconfig: kind is ", kind);
  if (config.find("apiVersion") == nullptr) config.set(arena, "apiVersion", Value::view("v1"));
  if (config.find("kind") == nullptr) config.set(arena, "kind", Value::view("Config"));
  for (const std::string_view list : {"clusters", "users", "contexts"}) {
    const Value there = config.get(list);
    if (there.is_null()) config.set(arena, list, Value::array(arena));
    if (!there.is_null() && !there.is_array()) return fail("is no kubeconfig: ", list, " must be a list");
  }
  return config;
}

// By its own rights and nobody else's: a thread has a file-system identity of its own (setfsuid(2)), which drops what
// root may do to files.
Result<> as_user(unsigned uid, unsigned gid, const std::function<Result<>()>& action) {
  if (uid == ::geteuid()) return action();
  Result<> done;
  std::thread thread = start_thread([&] {
    // For this thread alone, as libc's wrapper is not.
    if (::syscall(SYS_setgroups, 0, nullptr) != 0) {
      done = fail_errno(errno, "take the user's rights");
      return;
    }
    ::syscall(SYS_setfsgid, gid);
    ::syscall(SYS_setfsuid, uid);
    if (static_cast<unsigned>(::syscall(SYS_setfsuid, static_cast<unsigned>(-1))) != uid) {
      done = fail("take the user's rights");
      return;
    }
    done = action();
  });
  thread.join();
  return done;
}

// kubectl's lock: a file beside the config that only one can make.
Result<> with_lock(const std::string& path, const std::function<Result<>()>& action) {
  const std::string lock = cat(path, ".lock");
  for (int i = 0;; ++i) {
    const auto made = kernel::open(lock.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (made) break;
    if (made.error().code() != EEXIST || i == kLockTries)
      return Failure(made.error()).hint(cat("if no kubectl is running, remove ", lock));
    std::this_thread::sleep_for(kLockPause);
  }
  const Defer unlock([&] { ::unlink(lock.c_str()); });
  return action();
}

// Where a link points, so that the file is replaced and not the link.
std::string real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), ::free);
  return real ? std::string(real.get()) : path;
}

Result<> edit(const KubeconfigOwner& owner, bool make,
              const std::function<Result<std::string>(std::string_view)>& change) {
  return as_user(owner.uid, owner.gid, [&]() -> Result<> {
    const std::string path = real_path(owner.path);
    if (make) TRY(kernel::make_dirs(path.substr(0, path.rfind('/')), 0700));
    return with_lock(path, [&]() -> Result<> {
      auto there = kernel::read_file(path.c_str(), kMostBytes);
      if (!there && there.error().code() != ENOENT) return std::unexpected(there.error());
      if (!there && !make) return {};
      const std::string changed = TRY_CTX(change(there ? *there : std::string()), path);
      if (there && *there == changed) return {};
      return kernel::replace_file(path, changed, 0600, true);
    });
  });
}

// The home and the group of a user: libc's way there needs shared libraries.
bool find_home(unsigned uid, KubeconfigOwner& owner) {
  const auto passwd = kernel::read_file("/etc/passwd", 8u << 20);
  if (!passwd) return false;
  for (std::string_view rest = *passwd; !rest.empty();) {
    std::string_view line = cut(rest, '\n');
    cut(line, ':');
    cut(line, ':');
    const auto number = parse_number<unsigned>(cut(line, ':'));
    const auto group = parse_number<unsigned>(cut(line, ':'));
    cut(line, ':');
    const std::string_view home = cut(line, ':');
    if (number != uid || !group || !home.starts_with('/')) continue;
    owner = {.path = cat(home, "/.kube/config"), .uid = uid, .gid = *group};
    return true;
  }
  return false;
}

}  // namespace

Result<std::string> merge_kubeconfig(std::string_view file, const KubeconfigEntry& in) {
  Arena arena;
  Value config = TRY(read_config(arena, file));
  Value cluster = Value::object(arena, 2);
  cluster.add(arena, "certificate-authority-data", base64(arena, in.authority_pem));
  cluster.add(arena, "server", text(arena, in.server));
  entry_of(arena, config, "clusters", in.name).set(arena, "cluster", cluster);
  Value user = Value::object(arena, 2);
  user.add(arena, "client-certificate-data", base64(arena, in.certificate_pem));
  user.add(arena, "client-key-data", base64(arena, in.key_pem));
  entry_of(arena, config, "users", in.name).set(arena, "user", user);
  // A namespace that was chosen for it stays.
  Value& context = entry_of(arena, config, "contexts", in.name).child(arena, "context");
  context.set(arena, "cluster", text(arena, in.name));
  context.set(arena, "user", text(arena, in.name));
  config.set(arena, "current-context", text(arena, in.name));
  return write_yaml(config);
}

std::string kubeconfig_text(const KubeconfigEntry& entry) { return merge_kubeconfig("", entry).value_or(""); }

Result<std::string> without_kubeconfig_entry(std::string_view file, std::string_view name) {
  Arena arena;
  Value config = TRY(read_config(arena, file));
  for (const std::string_view list : {"clusters", "users", "contexts"}) {
    Value& entries = *config.find(list);
    for (size_t i = entries.size(); i-- > 0;)
      if (entries.items()[i].string("name") == name) entries.erase_at(i);
  }
  if (config.string("current-context") == name) config.set(arena, "current-context", Value::view(""));
  return write_yaml(config);
}

KubeconfigOwner kubeconfig_owner() {
  KubeconfigOwner owner{.path = {}, .uid = ::geteuid(), .gid = ::getegid()};
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string_view(value != nullptr ? value : "");
  };
  KubeconfigOwner behind_sudo;
  const auto sudo_uid = parse_number<unsigned>(variable("SUDO_UID"));
  const bool sudo = owner.uid == 0 && sudo_uid && *sudo_uid != 0 && find_home(*sudo_uid, behind_sudo);
  for (const std::string_view path : split(variable("KUBECONFIG"), ':')) {
    if (!path.starts_with('/')) break;
    // sudo -E: the file is the user's.
    if (sudo) owner = behind_sudo;
    owner.path = path;
    return owner;
  }
  if (sudo) return behind_sudo;
  if (const auto home = variable("HOME"); home.starts_with('/')) owner.path = cat(home, "/.kube/config");
  if (owner.path.empty()) find_home(owner.uid, owner);
  return owner;
}

Result<> write_kubeconfig(const KubeconfigOwner& owner, const KubeconfigEntry& entry) {
  return edit(owner, true, [&](std::string_view there) { return merge_kubeconfig(there, entry); });
}

Result<> remove_from_kubeconfig(const KubeconfigOwner& owner, std::string_view name) {
  return edit(owner, false, [&](std::string_view there) { return without_kubeconfig_entry(there, name); });
}

}  // namespace proa::kube::api
