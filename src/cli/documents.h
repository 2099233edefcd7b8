// What `inspect` shows, by the name of its object. ENOENT where there is none.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "oci/image/images.h"

namespace proa::cli {

Result<boost::json::value> container_document(engine::Engine& engine, const std::string& name, bool size);
Result<boost::json::value> sandbox_document(engine::Engine& engine, const std::string& name);
Result<boost::json::value> exec_document(engine::Engine& engine, const std::string& id);
Result<boost::json::value> volume_document(engine::Engine& engine, const std::string& name);
Result<boost::json::value> network_document(engine::Engine& engine, const std::string& name);
Result<boost::json::value> image_document(engine::Engine& engine, const std::string& name);

// Whether containers keep an image from being removed. `name`: as the user wrote it.
Result<> check_unused(const std::vector<engine::Container>& containers, const oci::image::Image& image,
                      const std::string& name, bool force);
bool uses_image(const engine::Container& container, const oci::image::Image& image);

}  // namespace proa::cli
