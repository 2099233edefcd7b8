#include "oci/spec/template.h"

#include <boost/json.hpp>
#include <exception>
#include <string_view>

#include "base/json.h"

extern "C" {
extern const char proa_template_begin[], proa_template_end[];
}

namespace proa::oci {
namespace {

namespace bj = boost::json;

void remove_namespace(bj::array& namespaces, std::string_view type) {
  for (auto* it = namespaces.begin(); it != namespaces.end();) {
    if (it->at("type").as_string() == bj::string_view(type.data(), type.size()))
      it = namespaces.erase(it);
    else
      ++it;
  }
}

// A new mount of sysfs needs a network namespace of one's own; ids of the host mean nothing inside.
void make_mounts_rootless(bj::array& mounts) {
  for (bj::value& mount : mounts) {
    if (mount.at("destination").as_string() == "/sys") {
      mount = {{"destination", "/sys"},
               {"type", "none"},
               {"source", "/sys"},
               {"options", {"rbind", "nosuid", "noexec", "nodev", "ro"}}};
    } else if (bj::value* options = mount.as_object().if_contains("options")) {
      bj::array kept;
      for (const bj::value& option : options->as_array())
        if (!option.as_string().starts_with("uid=") && !option.as_string().starts_with("gid=")) kept.push_back(option);
      *options = std::move(kept);
    }
  }
}

void make_rootless(bj::object& config, const TemplateOptions& options) {
  bj::object& part = config["linux"].as_object();
  remove_namespace(part["namespaces"].as_array(), "network");
  part["namespaces"].as_array().push_back({{"type", "user"}});
  part["uidMappings"] = bj::array{{{"containerID", 0}, {"hostID", options.uid}, {"size", 1}}};
  part["gidMappings"] = bj::array{{{"containerID", 0}, {"hostID", options.gid}, {"size", 1}}};
  part.erase("resources");
  make_mounts_rootless(config["mounts"].as_array());
}

}  // namespace

Result<std::string> template_config(const TemplateOptions& options) {
  try {
    bj::value document = TRY(json::parse({proa_template_begin, proa_template_end}));
    bj::object& config = document.as_object();
    if (options.unified_cgroup) config["linux"].at("namespaces").as_array().push_back({{"type", "cgroup"}});
    if (options.rootless) make_rootless(config, options);
    return json::to_pretty(document);
  } catch (const std::exception& error) {
    return fail("the starting config.json: ", error.what());
  }
}

}  // namespace proa::oci
