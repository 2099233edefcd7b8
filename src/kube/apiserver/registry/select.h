// Which records a list or watch wants: labels and fields, looked up in the stored bytes without parsing them.
#pragma once

#include <string>
#include <string_view>

#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/catalog.h"
#include "kube/selector/field_selector.h"
#include "kube/selector/label_selector.h"
#include "kube/store/record.h"

namespace proa::kube::api {

class Selection {
 public:
  // 400 for selectors that cannot be read or that the resource does not support. `resource` and `catalog` outlive it.
  static Answer<Selection> of(const CatalogView& catalog, const Resource& resource, std::string_view labels,
                              std::string_view fields);

  bool everything() const { return labels_.everything() && fields_.everything(); }
  bool matches(const store::Record& record) const;
  // The one object it may match, by metadata.name and metadata.namespace; null: any.
  const std::string* name() const { return fields_.wanted("metadata.name"); }
  const std::string* ns() const { return fields_.wanted("metadata.namespace"); }

 private:
  bool labels_match(std::string_view json) const;
  bool field_matches(const FieldSelector::Term& term, std::string_view json) const;
  bool slowly_matches(const store::Record& record) const;

  const CatalogView* catalog_ = nullptr;
  const Resource* resource_ = nullptr;
  LabelSelector labels_;
  FieldSelector fields_;
};

}  // namespace proa::kube::api
