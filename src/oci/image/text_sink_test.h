// A sink that keeps what is written to it.
#pragma once

#include <span>
#include <string>

#include "oci/image/stream.h"

namespace proa::oci::image {

class Text : public Sink {
 public:
  using Sink::write;
  Result<> write(std::span<const std::byte> bytes) override {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }
  std::string text;
};

}  // namespace proa::oci::image
