// `proa inspect`: objects of every kind.
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/ids.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/container_commands.h"
#include "cli/container_filter.h"
#include "cli/documents.h"
#include "cli/image_documents.h"
#include "cli/print.h"
#include "oci/image/images.h"
#include "oci/image/reference.h"

namespace proa::cli {
namespace {

namespace bj = boost::json;
namespace im = oci::image;
using engine::Engine;

struct ObjectKind {
  std::string_view name;
  Result<bj::value> (*document)(Engine& engine, const std::string& name);
  bool asked_only;  // not looked for unless --type says so
};

// In the order in which a name is looked for.
constexpr ObjectKind kKinds[] = {
    {"container", [](Engine& engine, const std::string& name) { return container_document(engine, name, false); },
     false},
    {"image", image_document, false},
    {"network", network_document, false},
    {"volume", volume_document, false},
    {"sandbox", sandbox_document, true},
    {"exec", exec_document, true},
};

Result<bj::value> find_object(Engine& engine, const std::string& name, const std::string& type, bool size) {
  for (const ObjectKind& kind : kKinds) {
    if (type.empty() ? kind.asked_only : kind.name != type) continue;
    auto found = kind.name == "container" ? container_document(engine, name, size) : kind.document(engine, name);
    if (found || found.error().code() != ENOENT) return found;
  }
  return Failure(Error(cat("No such ", type.empty() ? "object" : type, ": ", name), ENOENT));
}

}  // namespace

Result<bj::value> container_document(Engine& engine, const std::string& name, bool size) {
  const engine::Container container = TRY(engine.inspect(name));
  return json::parse(TRY(engine.document(container, size)));
}

Result<bj::value> image_document(Engine& engine, const std::string& name) {
  const im::Images images(TRY(im::Store::open({.root = engine.folders().images()})));
  return inspect_document(TRY(images.find(name)));
}

Result<bj::value> exec_document(Engine& engine, const std::string& id) {
  const engine::Exec exec = TRY(engine.exec_inspect(id));
  bj::array arguments;
  for (size_t i = 1; i < exec.config.args.size(); ++i) arguments.emplace_back(exec.config.args[i]);
  return bj::object{{"ID", exec.id},
                    {"Running", exec.running},
                    {"ExitCode", exec.exit_code ? bj::value(*exec.exit_code) : bj::value()},
                    {"ProcessConfig", bj::object{{"tty", exec.config.tty},
                                                 {"entrypoint", exec.config.args.front()},
                                                 {"arguments", std::move(arguments)},
                                                 {"privileged", exec.config.privileged},
                                                 {"user", exec.config.user}}},
                    {"OpenStdin", exec.config.stdin},
                    {"OpenStderr", !exec.config.tty},
                    {"OpenStdout", true},
                    {"CanRemove", exec.exit_code.has_value()},
                    {"ContainerID", exec.container},
                    {"DetachKeys", exec.config.detach_keys},
                    {"Pid", exec.pid}};
}

Result<int> program_inspect(const Invocation& in) {
  const std::string type = in.text("type");
  Engine engine = TRY(Engine::open());
  bj::array all;
  int status = 0;
  for (const std::string& name : in.arguments()) {
    auto found = find_object(engine, name, type, in.on("size"));
    if (found) {
      all.push_back(*std::move(found));
      continue;
    }
    print_error(found.error());
    status = 1;
  }
  TRY(print_documents(in, all));
  return status;
}

bool uses_image(const engine::Container& container, const im::Image& image) {
  return container.resolved.image_id == image.id.text();
}

Result<> check_unused(const std::vector<engine::Container>& containers, const im::Image& image, const std::string& name,
                      bool force) {
  const auto reference = im::Reference::parse(name);
  const bool named = reference && std::ranges::find(image.names, reference->text()) != image.names.end();
  if (named && image.names.size() > 1) return {};  // only a name goes
  const std::string id(short_id(image.id.text().substr(image.id.text().find(':') + 1)));
  for (const engine::Container& container : containers) {
    if (!uses_image(container, image)) continue;
    const std::string user(short_id(container.id));
    if (named && !force)
      return fail("conflict: unable to remove repository reference \"", name, "\" (must force) - container ", user,
                  " is using its referenced image ", id);
    if (is_running(container.state))
      return fail("conflict: unable to delete ", id, " (cannot be forced) - image is being used by running container ",
                  user);
    if (!force)
      return fail("conflict: unable to delete ", id, " (must be forced) - image is being used by stopped container ",
                  user);
  }
  return {};
}

}  // namespace proa::cli
