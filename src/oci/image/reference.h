// Image references, the grammar Docker's users type: [DOMAIN[:PORT]/]PATH[:TAG][@DIGEST].
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "oci/image/digest.h"

namespace proa::oci::image {

struct Reference {
  std::string domain;  // "docker.io", "localhost:5000", "[::1]:5000"
  std::string path;    // "library/alpine"
  std::string tag;     // empty: none
  Digest digest;       // empty: none

  // As Docker normalises: docker.io and library/ are understood, and the tag is "latest" when neither tag
  // nor digest is given.
  static Result<Reference> parse(std::string_view text);
  // ... leaving an absent tag absent (for commands that name a repository).
  static Result<Reference> parse_bare(std::string_view text);

  // "docker.io/library/alpine"
  std::string repository() const { return domain + "/" + path; }
  // "alpine", "quay.io/team/app": what users are shown.
  std::string familiar_repository() const;
  // In full: "docker.io/library/alpine:latest".
  std::string text() const { return repository() + suffix(); }
  std::string familiar() const { return familiar_repository() + suffix(); }

  bool operator==(const Reference&) const = default;

 private:
  std::string suffix() const;
};

// Whether `text` can be the tag of a reference.
bool valid_tag(std::string_view text);

}  // namespace proa::oci::image
