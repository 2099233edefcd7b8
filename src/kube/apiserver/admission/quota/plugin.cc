// ResourceQuota: what a namespace may hold at most. Usage stands in the status of the quotas and is written in the
// transaction of the object that changes it, so that it is exact however many write at once.
#include <algorithm>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/plugins.h"
#include "kube/apiserver/admission/quota/usage.h"
#include "kube/apiserver/registry/splice.h"

namespace proa::kube::api {
namespace {

using namespace quota;

Amounts difference(const Amounts& now, const Amounts& before) {
  Amounts out = now;
  for (const auto& [name, amount] : before) out[name] -= amount;
  std::erase_if(out, [](const auto& entry) { return entry.second.is_zero(); });
  return out;
}

// "cpu=1,memory=2Gi", of the names in `of`.
std::string listed(const Amounts& amounts, const Amounts& of) {
  std::string out;
  for (const auto& [name, unused] : of) {
    const auto at = amounts.find(name);
    out.append(out.empty() ? "" : ",").append(name).append("=").append(at == amounts.end() ? "0" : at->second.text());
  }
  return out;
}

class ResourceQuota final : public AdmissionPlugin {
 public:
  explicit ResourceQuota(const Reader& reader) : reader_(reader) {}
  std::string_view name() const override { return "ResourceQuota"; }

  Answer<> validate(Admission& w) override {
    if (w.operation != Operation::kCreate && w.operation != Operation::kUpdate) return {};
    if (!counted(w.resource)) return {};
    if (w.operation == Operation::kCreate && !about(w, "", "resourcequotas")) expect_epoch(w, reader_);
    for (const StoredPtr& found : reader_.list("", "resourcequotas", w.ns))
      if (auto fits = take(w, *found); !fits) return fits;
    return {};
  }

  void removed(Admission& w) override {
    if (!counted(w.resource)) return;
    for (const StoredPtr& found : reader_.list("", "resourcequotas", w.ns)) {
      if (is_itself(w, *found)) continue;
      const Value spec = found->root().get("spec");
      const Amounts gone = usage_in(w.resource, w.old_object, spec);
      const Amounts change = difference({}, gone);
      if (!change.empty()) write_usage(w, *found, after(*found, change));
    }
  }

 private:
  static bool is_itself(const Admission& w, const Stored& found) {
    return about(w, "", "resourcequotas") && found.root().string({"metadata", "name"}) == w.name;
  }

  static Amounts used_of(const Stored& found) { return amounts_of(found.root().get({"status", "used"})); }

  static Amounts after(const Stored& found, const Amounts& change) {
    Amounts used = used_of(found);
    add_amounts(used, change);
    for (auto& [name, amount] : used)
      if (amount.negative()) amount = Quantity();
    return used;
  }

  Answer<> take(Admission& w, const Stored& found) const {
    if (is_itself(w, found)) return {};
    const Value spec = found.root().get("spec");
    const std::string_view quota = found.root().string({"metadata", "name"});
    if (w.operation == Operation::kCreate && about_pods(w) && in_scope(w.resource, w.object, spec))
      if (const std::string missing = missing_resources(w.object, spec); !missing.empty())
        return refuse(denied(w, cat("failed quota: ", quota, ": ", missing)));
    const Amounts change = difference(usage_in(w.resource, w.object, spec), usage_in(w.resource, w.old_object, spec));
    if (change.empty()) return {};
    const Amounts used = used_of(found), hard = amounts_of(spec.get("hard")), next = after(found, change);
    Amounts exceeded;
    for (const auto& [name, amount] : change)
      if (!amount.negative() && next.at(name) > hard.at(name)) exceeded[name] = amount;
    if (!exceeded.empty())
      return refuse(denied(w, cat("exceeded quota: ", quota, ", requested: ", listed(exceeded, exceeded),
                                  ", used: ", listed(used, exceeded), ", limited: ", listed(hard, exceeded))));
    write_usage(w, found, next);
    return {};
  }

  void write_usage(Admission& w, const Stored& found, const Amounts& used) const {
    const CatalogPtr catalog = reader_.catalog().view();
    const Resource* quotas = catalog->find("", "v1", "resourcequotas");
    Value object = Value::object_of(w.arena, found.root().members());
    object.set(w.arena, "status", quota_status(w.arena, object.get("spec"), used));
    const std::string_view key = found.record->key();
    w.together.compares.push_back(store::Compare::unchanged(key, found.record->mod_revision()));
    w.together.success.emplace_back(store::Put{.draft = stored_draft(key, *quotas->storage, object)});
  }

  const Reader& reader_;
};

}  // namespace

PluginPtr resource_quota(const Reader& reader) { return std::make_unique<ResourceQuota>(reader); }

}  // namespace proa::kube::api
