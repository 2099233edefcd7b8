// What containers take from images: facts of their configs, and root file systems on their layers.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "engine/config.h"

namespace proa::engine {

// What an image says of the containers made from it.
struct ImageFacts {
  std::string id, name;  // id: config digest; name: as users see it
  Strings entrypoint, cmd, env, exposed_ports, volumes;
  std::string working_dir, user, stop_signal;
  StringMap labels;
  HealthConfig health;
  std::optional<int64_t> stop_timeout;
  std::string foreign;  // its platform, where that is another than the host's; else empty
};

struct CommitRequest {
  std::string name, author, message;
  Strings changes;  // lines of a Dockerfile
};

// Opened when first used: containers without images pay nothing. Not thread-safe.
class ImageSource {
 public:
  explicit ImageSource(std::string root);
  ImageSource(ImageSource&&) noexcept;
  ~ImageSource();

  static std::string host_platform();
  // By name or id; ENOENT when it is not here, or is for another platform than the one that was asked for.
  Result<ImageFacts> find(const std::string& name, const std::string& platform);
  // A writable root file system on the layers of the image found last.
  Result<> prepare(const std::string& snapshot);
  // Mounted detached; through a user namespace if one is given.
  Result<Fd> mount(const std::string& snapshot, int user_namespace = -1);
  // A missing one is fine.
  Result<> remove(const std::string& snapshot);
  // 'A', 'C' or 'D' and a path, sorted by path.
  Result<std::vector<std::pair<char, std::string>>> changes(const std::string& snapshot);
  Result<uint64_t> usage(const std::string& snapshot);
  // The new image's id.
  Result<std::string> commit(const Container& container, const CommitRequest& request);

 private:
  struct Inside;
  Result<> open();
  std::string root_;
  std::unique_ptr<Inside> inside_;
};

}  // namespace proa::engine
