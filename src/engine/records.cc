#include "engine/records.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/ids.h"
#include "base/text.h"
#include "engine/codec.h"
#include "engine/data/data.h"
#include "kernel/file.h"

namespace proa::engine {
namespace {

constexpr const char* kConfigFile = "config.json";
constexpr const char* kStateFile = "state.json";

Result<std::string> link_target(const std::string& path) {
  std::array<char, 256> text;
  const ssize_t size = ::readlink(path.c_str(), text.data(), text.size());
  if (size < 0) return fail_errno(errno, path);
  return std::string(text.data(), static_cast<size_t>(size));
}

Result<Fd> open_locked(const std::string& path, bool wait) {
  Fd dir = TRY(kernel::open(path.c_str(), O_RDONLY | O_DIRECTORY));
  while (::flock(dir.get(), LOCK_EX | (wait ? 0 : LOCK_NB)) != 0)
    if (errno != EINTR) return fail_errno(errno, "lock ", path);
  return dir;
}

bool is_hex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Replaced whole, below a descriptor: a folder that was moved to the trash is not written to by its old name.
Result<> replace_at(int dir, const char* name, std::string_view text) {
  const std::string temporary = cat(name, ".new");
  Fd file = TRY(kernel::open_at(dir, temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
  TRY(kernel::write_all(file.get(), text));
  if (::renameat(dir, temporary.c_str(), dir, name) != 0) return fail_errno(errno, "replace ", name);
  return {};
}

}  // namespace

Result<> Locked::save_config(const Container& container) const {
  TRY_CTX(replace_at(fd(), kConfigFile, emit_container(container)), "the container's record");
  return {};
}

Result<> Locked::save_state(const State& state) const {
  TRY_CTX(replace_at(fd(), kStateFile, emit_state(state)), "the container's record");
  return {};
}

Result<Container> Locked::load_config() const {
  const std::string config = TRY(kernel::read_file_at(dir_.get(), kConfigFile));
  return TRY_CTX(parse_container(config), path_, "/", kConfigFile);
}

Result<Container> Locked::load() const {
  Container container = TRY(load_config());
  const std::string state = TRY(kernel::read_file_at(dir_.get(), kStateFile));
  container.state = TRY_CTX(parse_state(state), path_, "/", kStateFile);
  return container;
}

Result<Locked> Records::make(const std::string& id) const {
  const std::string path = folders_.container(id);
  if (::mkdir(path.c_str(), 0710) != 0) {
    if (errno != ENOENT) return fail_errno(errno, "make ", path);
    TRY(kernel::make_dirs(folders_.containers(), 0710));
    if (::mkdir(path.c_str(), 0710) != 0) return fail_errno(errno, "make ", path);
  }
  return Locked(path, TRY(open_locked(path, true)));
}

Result<Locked> Records::lock(const std::string& id, bool wait) const {
  const std::string path = folders_.container(id);
  auto dir = open_locked(path, wait);
  if (!dir && dir.error().code() == ENOENT) return fail_errno(ENOENT, "No such container: ", id);
  if (!dir) return std::unexpected(dir.error());
  // It may have been removed while we waited.
  if (::faccessat(dir->get(), kStateFile, F_OK, 0) != 0) return fail_errno(ENOENT, "No such container: ", id);
  return Locked(path, std::move(*dir));
}

Result<Container> Records::load(const std::string& id) const {
  Fd dir = TRY(kernel::open(folders_.container(id).c_str(), O_RDONLY | O_DIRECTORY));
  return Locked(folders_.container(id), std::move(dir)).load();
}

Result<> check_container_name(const std::string& name) {
  if (name.size() >= 2 && check_name(name, "container name")) return {};
  return Failure(Error(cat("Invalid container name (", name, "), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")))
      .hint(name.size() == 1 ? "at least two characters" : "the first is a letter or a digit");
}

namespace {
Failure conflict(const std::string& name, const std::string& owner) {
  return Failure(Error(cat("Conflict. The container name \"/", name, "\" is already in use by container \"", owner,
                           "\". You have to remove (or rename) that container to be able to reuse that name."),
                       EEXIST));
}
}  // namespace

// Names whose container is gone, or never came to be, are free: decided with the whole index locked.
Result<> Records::claim_name(const std::string& name, const std::string& id) const {
  const std::string path = folders_.names() + "/" + name;
  if (::symlink(id.c_str(), path.c_str()) == 0) return {};
  if (errno == ENOENT) {
    TRY(kernel::make_dirs(folders_.names(), 0710));
    if (::symlink(id.c_str(), path.c_str()) == 0) return {};
  }
  if (errno != EEXIST) return fail_errno(errno, "name ", name);
  Fd index = TRY(open_locked(folders_.names(), true));
  const auto owner = link_target(path);
  if (owner && *owner == id) return {};
  if (owner && TRY(holds_name(*owner, name))) return conflict(name, *owner);
  if (owner && ::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "name ", name);
  // Who takes a free name does not ask for the lock.
  if (::symlink(id.c_str(), path.c_str()) == 0) return {};
  if (errno == EEXIST) return conflict(name, link_target(path).value_or(std::string()));
  return fail_errno(errno, "name ", name);
}

// Whether the container to which the name leads has a claim to it: not if it is gone, or its maker died, or a
// renaming was killed that had taken one name more than the container is called by.
Result<bool> Records::holds_name(const std::string& id, const std::string& name) const {
  const std::string path = folders_.container(id);
  auto dir = open_locked(path, false);
  if (!dir && dir.error().code() == ENOENT) return false;
  if (!dir) return true;  // somebody is at it
  const Locked locked(path, std::move(*dir));
  if (::faccessat(locked.fd(), kStateFile, F_OK, 0) != 0) return false;
  return TRY(locked.load_config()).name == name;
}

Result<> Records::release_name(const std::string& name, const std::string& id) const {
  if (name.empty()) return {};
  auto index = open_locked(folders_.names(), true);
  if (!index) return {};
  const std::string path = folders_.names() + "/" + name;
  const auto owner = link_target(path);
  if (owner && *owner == id && ::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "name ", name);
  return {};
}

Result<> Records::release_dead_names() const {
  auto index = open_locked(folders_.names(), true);
  if (!index) return {};
  for (const std::string& name : TRY(kernel::names_in(folders_.names()))) {
    const std::string path = cat(folders_.names(), "/", name);
    const auto owner = link_target(path);
    if (owner && !TRY(holds_name(*owner, name))) ::unlink(path.c_str());
  }
  return {};
}

Result<std::string> Records::resolve(std::string_view reference) const {
  if (reference.starts_with('/')) reference.remove_prefix(1);
  const auto none = [&] {
    return Failure(Error(cat("No such container: ", reference), ENOENT)).hint("`proa ps -a` lists them");
  };
  if (reference.empty() || reference.find('/') != std::string_view::npos || reference.starts_with('.')) return none();
  const auto complete = [&](std::string_view id) {
    return kernel::path_exists(cat(folders_.container(id), "/", kStateFile).c_str());
  };
  if (reference.size() == 64 && is_hex(reference) && complete(reference)) return std::string(reference);
  if (const auto id = link_target(cat(folders_.names(), "/", reference)); id && complete(*id)) return *id;
  if (!is_hex(reference)) return none();
  std::optional<std::string> found;
  for (std::string& id : TRY(kernel::names_in(folders_.containers()))) {
    if (!id.starts_with(reference) || !complete(id)) continue;
    if (found) return fail("Multiple IDs found with provided prefix: ", reference);
    found = std::move(id);
  }
  if (!found) return none();
  return *found;
}

Result<> Records::drop(const std::string& id) const {
  TRY(kernel::make_dirs(folders_.trash(), 0710));
  const std::string target = cat(folders_.trash(), "/", id);
  if (::rename(folders_.container(id).c_str(), target.c_str()) != 0 && errno != ENOENT)
    return fail_errno(errno, "remove ", folders_.container(id));
  return kernel::remove_tree(target);
}

Result<std::vector<std::string>> Records::ids(std::vector<std::string>* dead) const {
  std::vector<std::string> out;
  for (std::string& id : TRY(kernel::names_in(folders_.containers()))) {
    if (kernel::path_exists(cat(folders_.container(id), "/", kStateFile).c_str())) {
      out.push_back(std::move(id));
      continue;
    }
    if (dead != nullptr && take_over(id)) dead->push_back(std::move(id));
  }
  return out;
}

Result<Locked> Records::take_over(const std::string& id) const {
  const std::string path = folders_.container(id);
  Fd dir = TRY(open_locked(path, false));
  if (::faccessat(dir.get(), kStateFile, F_OK, 0) == 0) return fail_errno(ENOENT, "container ", id, " is complete");
  return Locked(path, std::move(dir));
}

Result<std::vector<Container>> Records::all(std::vector<std::string>* dead) const {
  std::vector<Container> out;
  for (const std::string& id : TRY(ids(dead)))
    if (auto container = load(id)) out.push_back(std::move(*container));
  std::ranges::sort(out, [](const Container& a, const Container& b) { return a.created > b.created; });
  return out;
}

Result<> Records::remove(const Locked&, const Container& container) const {
  TRY(drop(container.id));
  return release_name(container.name, container.id);
}

std::string make_name() {
  static constexpr auto words = [](std::string_view kind) {
    std::string_view text = words_data();
    while (!text.empty()) {
      std::string_view line = cut(text, '\n');
      if (line.starts_with(kind)) return split(line.substr(kind.size()), ' ');
    }
    return std::vector<std::string_view>{"proa"};
  };
  const auto first = words("adjectives "), second = words("surnames ");
  std::array<uint32_t, 2> random{};
  (void)::getrandom(random.data(), sizeof random, 0);
  return cat(first[random[0] % first.size()], "_", second[random[1] % second.size()]);
}

namespace {
constexpr std::array<std::string_view, 7> kStatusWords = {"created",  "running", "paused", "restarting",
                                                          "removing", "exited",  "dead"};
}

Status status_of(const State& state) {
  const auto found = std::ranges::find(kStatusWords, state.status);
  return found == kStatusWords.end() ? Status::kDead : static_cast<Status>(found - kStatusWords.begin());
}
std::string_view status_word(Status status) { return kStatusWords[static_cast<size_t>(status)]; }

}  // namespace proa::engine
