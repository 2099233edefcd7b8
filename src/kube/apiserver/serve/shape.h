// Objects and lists in the form that a client asked for.
#pragma once

#include <span>
#include <string>

#include "kube/apiserver/registry/list.h"
#include "kube/apiserver/serve/call.h"
#include "kube/apiserver/serve/writer.h"
#include "kube/printer/columns.h"

namespace proa::kube::api {

// A length-delimited protobuf field.
void append_field(std::string& out, uint32_t number, std::string_view bytes);

// includeObject of a table.
Answer<IncludeObject> include_object(const Call& call);

// `object` as a table of one row, or its metadata; itself when nothing else was asked for.
Value shaped(Call& call, Arena& arena, const Value& object, IncludeObject include, bool no_headers = false);

// Writes a list, portion by portion, from records: their bytes as they are wherever that is what is wanted.
class ListWriter {
 public:
  ListWriter(Call& call, const ListHead& head)
      : call_(call), head_(head), body_(call, 200, content_type(call.format.encoding)) {}
  Served begin();
  Served add(std::span<const store::RecordPtr> records);
  Served finish();

 private:
  Value list_metadata(Arena& arena) const;
  Answer<> append(const store::Record& record);
  Answer<> append_rows(std::span<const store::RecordPtr> records);
  bool by_pieces() const { return call_.format.encoding == Encoding::kJson && !call_.format.pretty; }
  Served finish_whole();

  Call& call_;
  const ListHead& head_;
  BodyWriter body_;
  IncludeObject include_ = IncludeObject::kMetadata;
  bool first_ = true;
  std::string whole_;  // where the encoding needs the list as a whole: its JSON, or its protobuf items
};

}  // namespace proa::kube::api
