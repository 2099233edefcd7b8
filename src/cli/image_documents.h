// Images as the documents that inspect, --format and -o show.
#pragma once

#include <boost/json/fwd.hpp>
#include <vector>

#include "base/error.h"
#include "cli/print.h"
#include "oci/image/images.h"

namespace proa::cli {

// `docker image inspect`'s object.
boost::json::value inspect_document(const oci::image::Image& image);

// One line of `image ls`: a name of an image, or <none>.
struct ImageRow {
  const oci::image::Image* image;
  std::string repository, tag;
};
std::vector<ImageRow> rows_of(const std::vector<oci::image::Image>& images);
// Fields of `docker images --format`.
boost::json::value row_document(const ImageRow& row, bool whole_id);
boost::json::value history_document(const oci::image::HistoryLine& line, const std::string& id, bool human, bool whole);

// `image ls --tree`.
struct ImageTree {
  const oci::image::Image* image;
  std::vector<oci::image::Variant> variants;
  std::vector<bool> used;  // each of them, by a container
};
std::pair<boost::json::value, Table> tree_of(const std::vector<ImageTree>& trees);

}  // namespace proa::cli
