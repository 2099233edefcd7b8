// Containers on disk: one folder each, and the index of names.
//
// A folder without state.json is being made; if nobody holds its lock its maker died, and the next look takes
// it away. Whoever changes a container holds the flock of its folder. Readers take no lock: every file is
// replaced whole.
//
// Threads and processes: any number may use one Records at once.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "engine/config.h"
#include "engine/folders.h"

namespace proa::engine {

// An open, locked container folder.
class Locked {
 public:
  Locked(std::string path, Fd dir) : path_(std::move(path)), dir_(std::move(dir)) {}
  const std::string& path() const { return path_; }
  int fd() const { return dir_.get(); }
  Result<> save_config(const Container& container) const;
  // The first save of a new container makes it seen.
  Result<> save_state(const State& state) const;
  Result<Container> load() const;
  // Without its state, which half-made ones have not.
  Result<Container> load_config() const;
  // Lets others go on; the object is of no more use.
  void unlock() { dir_.reset(); }

 private:
  std::string path_;
  Fd dir_;
};

// Whether a container may have the name.
Result<> check_container_name(const std::string& name);

class Records {
 public:
  explicit Records(const Folders& folders) : folders_(folders) {}

  // A new container's folder. Its name is claimed by claim_name().
  Result<Locked> make(const std::string& id) const;
  // EEXIST when another container has it, with an error that says which, and Docker's words.
  Result<> claim_name(const std::string& name, const std::string& id) const;
  Result<> release_name(const std::string& name, const std::string& id) const;
  // Names of containers that are not there any more.
  Result<> release_dead_names() const;
  // ENOENT when there is none. Waits for whoever changes it, unless `wait` is false: then EWOULDBLOCK.
  Result<Locked> lock(const std::string& id, bool wait = true) const;
  Result<Container> load(const std::string& id) const;

  // A name, an id, or the beginning of exactly one id. ENOENT: "No such container: ...".
  Result<std::string> resolve(std::string_view reference) const;
  // Of complete containers, in no order. `dead`: half-made ones whose makers died.
  Result<std::vector<std::string>> ids(std::vector<std::string>* dead = nullptr) const;
  // Ids and names, whoever is listed meanwhile removed left out; newest first.
  Result<std::vector<Container>> all(std::vector<std::string>* dead = nullptr) const;
  // A half-made container whose maker died. ENOENT, EWOULDBLOCK: it is none (any more).
  Result<Locked> take_over(const std::string& id) const;

  // Takes the folder away at once; the container is gone when this returns.
  Result<> remove(const Locked& locked, const Container& container) const;

 private:
  Result<> drop(const std::string& id) const;
  Result<bool> holds_name(const std::string& id, const std::string& name) const;
  const Folders folders_;
};

// "brave_magellan"
std::string make_name();

Status status_of(const State& state);
std::string_view status_word(Status status);

}  // namespace proa::engine
