// Reads the schema's source files (docs/kube-schema.md describes their form).
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "kube/schema/builder.h"

namespace proa::kube {

struct SchemaFile {
  std::string name;  // for errors: "apps-v1.schema:12: ..."
  std::string text;
};

// The table of all files together; types may refer to those of other files, in any order.
Result<std::string> build_table(const std::vector<SchemaFile>& files);

}  // namespace proa::kube
