// Sends answers: whole documents, objects in the form that was negotiated, and bodies of any length piece by piece.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "kube/apiserver/serve/call.h"
#include "kube/schema/table.h"

namespace proa::kube::api {

// A body in the making. Small ones go out at once with their length; others in pieces, compressed if the client likes
// that.
class BodyWriter {
 public:
  BodyWriter(Call& call, int status, std::string_view type);
  ~BodyWriter();
  BodyWriter(const BodyWriter&) = delete;

  // Append to this, then await spill(): what is more than a piece is sent.
  std::string& out() { return out_; }
  Served spill();
  Served finish();

 private:
  struct Compressor;
  void begin();
  void audit();
  void compress(bool last);

  Call& call_;
  int status_;
  std::string_view type_;
  std::string out_;
  std::unique_ptr<Compressor> compressor_;
  bool begun_ = false;
};

// An object of any kind in the negotiated encoding. `type` is for protobuf: null if there is no such form.
Served send_object(Call& call, int status, const Value& object, TypeView type);
// A document that is JSON already.
Served send_json(Call& call, int status, std::string_view json);
Served send_text(Call& call, int status, std::string_view text);
// The Status of an error, in the negotiated encoding if that is known.
Served send_error(Call& call, const ApiError& error);

// JSON on several lines, as kubectl's users and curl's see it.
std::string pretty_json(std::string_view json);

TypeView meta_type(std::string_view name);

}  // namespace proa::kube::api
