#include "kube/schema/table.h"

#include "base/text.h"

namespace proa::kube {
namespace {

template <typename T>
std::span<const T> section(std::string_view bytes, TableHeader::Section where) {
  return {reinterpret_cast<const T*>(bytes.data() + where.offset), where.count};
}

}  // namespace

Table::Table(std::string_view bytes, const Table* base) : bytes_(bytes), base_(base) {
  const auto& header = *reinterpret_cast<const TableHeader*>(bytes.data());
  texts_ = bytes.data() + header.texts.offset;
  fields_ = section<FieldRecord>(bytes, header.fields);
  nodes_ = section<NodeRecord>(bytes, header.nodes);
  facets_ = section<FacetRecord>(bytes, header.facets);
  branches_ = section<BranchRecord>(bytes, header.branches);
  types_ = section<TypeRecord>(bytes, header.types);
  enums_ = section<EnumRecord>(bytes, header.enums);
  enum_values_ = section<TextId>(bytes, header.enum_values);
  group_versions_ = section<GroupVersionRecord>(bytes, header.group_versions);
  resources_ = section<ResourceRecord>(bytes, header.resources);
  subresources_ = section<SubresourceRecord>(bytes, header.subresources);
  columns_ = section<ColumnRecord>(bytes, header.columns);
}

GroupVersionView Table::find(std::string_view group, std::string_view version) const {
  for (const GroupVersionRecord& record : group_versions_)
    if (text(record.group) == group && text(record.version) == version) return {this, &record};
  return {};
}

ResourceView Table::find_resource(std::string_view group, std::string_view version, std::string_view plural) const {
  const GroupVersionView where = find(group, version);
  if (!where) return {};
  for (size_t i = 0; i < where.resource_count(); ++i)
    if (const ResourceView resource = where.resource(i); resource.plural() == plural) return resource;
  return {};
}

ResourceView Table::find_kind(std::string_view group, std::string_view version, std::string_view kind) const {
  const GroupVersionView where = find(group, version);
  if (!where) return {};
  for (size_t i = 0; i < where.resource_count(); ++i)
    if (const ResourceView resource = where.resource(i); resource.kind() == kind) return resource;
  return {};
}

TypeView Table::find_type(std::string_view group, std::string_view version, std::string_view name) const {
  if (const GroupVersionView where = find(group, version))
    if (const TypeView type = where.find_type(name)) return type;
  if (const GroupVersionView meta = find("meta", "v1")) return meta.find_type(name);
  return {};
}

// --- nodes

std::string_view NodeView::text(TextId id) const { return table_->text(id); }

TypeView NodeView::type() const {
  const Table* table = has(NodeRecord::kBase) ? table_->base() : table_;
  return {table, &table->types()[record_->target]};
}

NodeView NodeView::element() const {
  const Table* table = has(NodeRecord::kBase) ? table_->base() : table_;
  return table->node(record_->target);
}

const FacetRecord* NodeView::facets() const {
  return record_->facets == 0 ? nullptr : &table_->facets()[record_->facets];
}

std::span<const TextId> NodeView::enumeration() const {
  if (record_->enumeration == 0) return {};
  const EnumRecord& found = table_->enums()[record_->enumeration];
  return table_->enum_values().subspan(found.first, found.count);
}

std::string_view NodeView::keys() const {
  const FacetRecord* found = facets();
  return found == nullptr ? std::string_view() : text(found->keys);
}
std::string_view NodeView::merge_key() const {
  const FacetRecord* found = facets();
  return found == nullptr ? std::string_view() : text(found->merge_key);
}
std::string_view NodeView::default_json() const {
  const FacetRecord* found = facets();
  return found == nullptr ? std::string_view() : text(found->default_json);
}
FacetRecord::Patch NodeView::patch() const {
  const FacetRecord* found = facets();
  return found == nullptr ? FacetRecord::kNone : static_cast<FacetRecord::Patch>(found->patch);
}

bool NodeView::atomic() const {
  if (has(NodeRecord::kAtomic)) return true;
  if (form() == Form::kStruct) return type().atomic();
  // A list that is neither a set nor keyed has one owner.
  return form() == Form::kList && !has(NodeRecord::kSet) && !has(NodeRecord::kKeyed);
}

// --- fields and types

std::string_view FieldView::name() const { return table_->text(record_->name); }
std::string_view FieldView::description() const { return table_->text(record_->description); }
NodeView FieldView::node() const { return table_->node(record_->node); }

std::string_view TypeView::name() const { return table_->text(record_->name); }
std::string_view TypeView::description() const { return table_->text(record_->description); }
FieldView TypeView::field(size_t index) const { return {table_, &table_->fields()[record_->first_field + index]}; }
NodeView TypeView::node() const { return table_->node(record_->node); }
GroupVersionView TypeView::group_version() const { return table_->group_version(record_->group_version); }

FieldView TypeView::find(std::string_view name, size_t* hint) const {
  const size_t count = size();
  const size_t start = hint != nullptr && *hint < count ? *hint : 0;
  for (size_t step = 0; step < count; ++step) {
    const size_t index = start + step < count ? start + step : start + step - count;
    const FieldView candidate = field(index);
    if (candidate.has(FieldRecord::kInline)) {
      if (const FieldView inner = candidate.node().type().find(name)) {
        if (hint != nullptr) *hint = index;
        return inner;
      }
    } else if (candidate.name() == name) {
      if (hint != nullptr) *hint = index + 1;
      return candidate;
    }
  }
  return {};
}

FieldView TypeView::find_number(uint32_t number) const {
  for (size_t i = 0; i < size(); ++i)
    if (const FieldView candidate = field(i); candidate.number() == number) return candidate;
  return {};
}

// --- group versions and resources

std::string_view GroupVersionView::group() const { return table_->text(record_->group); }
std::string_view GroupVersionView::version() const { return table_->text(record_->version); }
std::string_view GroupVersionView::package() const { return table_->text(record_->package); }
ResourceView GroupVersionView::resource(size_t index) const {
  return {table_, &table_->resources()[record_->first_resource + index]};
}
TypeView GroupVersionView::type(size_t index) const { return {table_, &table_->types()[record_->first_type + index]}; }
TypeView GroupVersionView::find_type(std::string_view name) const {
  for (size_t i = 0; i < type_count(); ++i)
    if (const TypeView candidate = type(i); candidate.name() == name) return candidate;
  return {};
}

std::string_view ResourceView::plural() const { return table_->text(record_->plural); }
std::string_view ResourceView::kind() const { return table_->text(record_->kind); }
std::string_view ResourceView::singular() const { return table_->text(record_->singular); }
std::string_view ResourceView::short_names() const { return table_->text(record_->short_names); }
std::string_view ResourceView::categories() const { return table_->text(record_->categories); }
std::string_view ResourceView::selectable() const { return table_->text(record_->selectable); }
std::string_view ResourceView::scale_spec() const { return table_->text(record_->scale_spec); }
std::string_view ResourceView::scale_status() const { return table_->text(record_->scale_status); }
std::string_view ResourceView::scale_selector() const { return table_->text(record_->scale_selector); }
std::string_view ResourceView::list_kind() const { return table_->text(record_->list_kind); }
std::string_view ResourceView::deprecation() const { return table_->text(record_->deprecation); }
TypeView ResourceView::type() const { return {table_, &table_->types()[record_->type]}; }
NodeView ResourceView::node() const { return type().node(); }
GroupVersionView ResourceView::group_version() const { return table_->group_version(record_->group_version); }

SubresourceView ResourceView::subresource(size_t index) const {
  const SubresourceRecord& record = table_->subresources()[record_->first_subresource + index];
  return {table_->text(record.name), table_->text(record.group), table_->text(record.version),
          table_->text(record.kind), record.verbs};
}

std::optional<SubresourceView> ResourceView::find_subresource(std::string_view name) const {
  for (size_t i = 0; i < subresource_count(); ++i)
    if (const SubresourceView candidate = subresource(i); candidate.name == name) return candidate;
  return std::nullopt;
}

ColumnView ResourceView::column(size_t index) const {
  const ColumnRecord& record = table_->columns()[record_->first_column + index];
  return {table_->text(record.name),        table_->text(record.type),   table_->text(record.format),
          table_->text(record.description), table_->text(record.source), static_cast<int>(record.priority)};
}

}  // namespace proa::kube
