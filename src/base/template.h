// --format: Go's templates as Docker's users write them, on JSON documents.
//
//   {{.Name}} {{.Config.Env}} {{json .}} {{index .Labels "a"}} {{range .Names}}{{.}} {{end}} {{if
//   .X}}..{{else}}..{{end}}
//   {{with .X}}..{{end}} {{len .X}} {{join .X ","}} {{upper .X}} {{lower .X}} {{title .X}} {{split .X ","}} {{pad .X 1
//   2}}
//   {{truncate .X 12}} {{println .X}} {{printf "%s" .X}} {{eq .X 1}} ne lt le gt ge and or not, pipes, $variables of
//   range, trimming {{- -}}, comments.
#pragma once

#include <boost/json/fwd.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa {

class Template {
 public:
  // Errors name what was not understood.
  static Result<Template> parse(std::string_view text);
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  // A field that the document lacks is an error, as in Docker.
  Result<std::string> render(const boost::json::value& document) const;
  // The names of fields it shows, for a table's header.
  std::vector<std::string> fields() const;

 private:
  struct Body;
  explicit Template(std::unique_ptr<Body> body);
  std::unique_ptr<Body> body_;
};

}  // namespace proa
