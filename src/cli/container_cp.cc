// cp: files between the host and containers.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "cli/container_commands.h"
#include "cli/print.h"
#include "engine/copy.h"
#include "engine/engine.h"
#include "kernel/file.h"
#include "oci/image/pack.h"
#include "oci/image/stream.h"

namespace proa::cli {
namespace {

using engine::Engine;
using engine::Place;

// CONTAINER:PATH; a path that begins with / or . is the host's, whatever it holds.
std::pair<std::string, std::string> split_place(const std::string& text) {
  if (text.starts_with('/') || text.starts_with('.') || text == "-") return {"", text};
  const size_t at = text.find(':');
  if (at == std::string::npos) return {"", text};
  return {text.substr(0, at), text.substr(at + 1)};
}

Result<Place> place_of(Engine& engine, const std::string& container, const std::string& path) {
  if (container.empty()) return Place{.root = Fd(), .path = path, .ids = {}};
  const engine::Container found = TRY(engine.inspect(container));
  return engine::place_in(engine, found, path);
}

}  // namespace

Result<int> container_cp(const Invocation& in) {
  const auto [from_container, from_path] = split_place(in.argument(0));
  const auto [to_container, to_path] = split_place(in.argument(1));
  if (from_container.empty() == to_container.empty())
    return fail(from_container.empty() ? "must specify at least one container source"
                                       : "copying between containers is not supported")
        .hint("one side is CONTAINER:PATH");
  Engine engine = TRY(Engine::open());
  Place from = TRY(place_of(engine, from_container, from_path));
  Place to = TRY(place_of(engine, to_container, to_path));
  if (from_path == "-" && from_container.empty()) {
    TRY(engine::unpack_into(STDIN_FILENO, to));
  } else if (to_path == "-" && to_container.empty()) {
    TRY(engine::pack_from(from, STDOUT_FILENO));
  } else {
    TRY(engine::copy_place(from, to, {.follow_link = in.on("follow-link"), .keep_owner = in.on("archive")}));
  }
  return 0;
}

Result<int> container_export(const Invocation& in) {
  const std::string file = in.text("output");
  if (file.empty() && ::isatty(STDOUT_FILENO) != 0)
    return fail("cowardly refusing to save to a terminal").hint("use -o FILE, or redirect the output");
  Engine engine = TRY(Engine::open());
  const engine::Container container = TRY(engine.inspect(in.argument(0)));
  Fd root = TRY(engine.open_own_files(container));
  const Fd target =
      file.empty() ? Fd(::dup(STDOUT_FILENO)) : TRY(kernel::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
  engine::Place all{.root = std::move(root), .path = "/."};
  const engine::Status status = engine::status_of(container.state);
  if (status == engine::Status::kRunning || status == engine::Status::kPaused)
    all.ids = {container.resolved.ids_first, container.resolved.ids_size};
  TRY(engine::pack_from(all, target.get()));
  return 0;
}

}  // namespace proa::cli
