#include "server/tenants/tenant_directory.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/file.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "server/tenants/key_file.h"

namespace antidiffusion {
namespace {

constexpr char kBearer[] = "Bearer ";

absl::string_view View(const grpc::string_ref& text) { return {text.data(), text.size()}; }

const char* NameOf(Right right) {
  switch (right) {
    case Right::kProtect:
      return "protect";
    case Right::kJobs:
      return "jobs";
    case Right::kModels:
      return "models";
  }
  return "";
}

absl::Status KeyMissingError() {
  return WithReason(
      absl::UnauthenticatedError("an API key is needed: metadata `authorization: Bearer KEY`"),
      {reason::kKeyMissing, {}});
}

absl::Status KeyUnknownError() {
  return WithReason(absl::UnauthenticatedError("the API key is not known"),
                    {reason::kKeyUnknown, {}});
}

absl::Status RightMissingError(Right right) {
  return WithReason(
      absl::PermissionDeniedError(absl::StrCat("this key lacks the right ", NameOf(right))),
      {reason::kRightMissing, {{"right", NameOf(right)}}});
}

}  // namespace

Credentials Credentials::Of(const grpc::ServerContextBase& context) {
  Credentials credentials;
  const auto& metadata = context.client_metadata();
  const auto given = metadata.find("authorization");
  const auto plain = metadata.find("x-api-key");
  if (given != metadata.end() && absl::StartsWithIgnoreCase(View(given->second), kBearer)) {
    credentials.key = std::string(View(given->second).substr(sizeof(kBearer) - 1));
  } else if (plain != metadata.end()) {
    credentials.key = std::string(View(plain->second));
  }
  const auto peer = context.auth_context();
  if (peer == nullptr || !peer->IsPeerAuthenticated()) return credentials;
  for (const char* property :
       {GRPC_PEER_URI_PROPERTY_NAME, GRPC_X509_SAN_PROPERTY_NAME, GRPC_X509_CN_PROPERTY_NAME}) {
    for (const grpc::string_ref& value : peer->FindPropertyValues(property)) {
      credentials.identities.emplace_back(View(value));
    }
  }
  return credentials;
}

// The file as it was read once.
struct TenantDirectory::Snapshot {
  std::vector<std::shared_ptr<const Tenant>> tenants;
  std::map<std::string, const Tenant*> by_name;
  std::map<std::string, std::shared_ptr<const Tenant>> by_identity;

  // All keys are looked at, whatever is found.
  std::shared_ptr<const Tenant> ByKey(const KeyDigest& digest) const {
    std::shared_ptr<const Tenant> found;
    for (const std::shared_ptr<const Tenant>& tenant : tenants) {
      for (const KeyDigest& key : tenant->spec().keys) {
        if (ConstantTimeEqual(key, digest)) found = tenant;
      }
    }
    return found;
  }

  void Add(TenantSpec spec, const TenantShare& share, std::shared_ptr<TenantMeter> meter) {
    auto tenant = std::make_shared<const Tenant>(std::move(spec), share, std::move(meter));
    by_name[tenant->name()] = tenant.get();
    for (const std::string& identity : tenant->spec().identities) by_identity[identity] = tenant;
    tenants.push_back(std::move(tenant));
  }
};

TenantDirectory::TenantDirectory(Options options) : options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<TenantDirectory>> TenantDirectory::Create(const Options& options) {
  std::unique_ptr<TenantDirectory> directory(new TenantDirectory(options));
  directory->stamp_ = StampOf(options.path);
  AD_ASSIGN_OR_RETURN(auto snapshot, directory->Read());
  {
    MutexLock lock(directory->mutex_);
    directory->snapshot_ = std::move(snapshot);
  }
  return directory;
}

absl::StatusOr<std::shared_ptr<const TenantDirectory::Snapshot>> TenantDirectory::Read() const {
  auto read = std::make_shared<Snapshot>();
  if (options_.path.empty()) {
    read->Add({}, {}, std::make_shared<TenantMeter>());
    return read;
  }
  AD_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(options_.path, kMaxKeyFileBytes));
  AD_ASSIGN_OR_RETURN(std::vector<TenantSpec> specs, ParseKeyFile(bytes));
  const std::shared_ptr<const Snapshot> before = snapshot();
  const bool shared = specs.size() > 1;
  for (TenantSpec& spec : specs) {
    TenantShare share;
    share.weight = spec.weight;
    if (shared) share.max_waiting = options_.default_max_waiting;
    if (shared) share.max_waiting_bytes = options_.default_max_waiting_bytes;
    share.max_running = spec.max_running.value_or(share.max_running);
    share.max_waiting = spec.max_waiting.value_or(share.max_waiting);
    share.max_waiting_bytes = spec.max_waiting_bytes.value_or(share.max_waiting_bytes);
    std::shared_ptr<TenantMeter> meter;
    if (before != nullptr && before->by_name.contains(spec.name)) {
      meter = before->by_name.at(spec.name)->meter_;
    }
    if (meter == nullptr) meter = std::make_shared<TenantMeter>();
    read->Add(std::move(spec), share, std::move(meter));
  }
  return read;
}

std::shared_ptr<const TenantDirectory::Snapshot> TenantDirectory::snapshot() const {
  MutexLock lock(mutex_);
  return snapshot_;
}

absl::StatusOr<std::shared_ptr<const Tenant>> TenantDirectory::Identify(
    const grpc::ServerContextBase& context, Right right) const {
  if (options_.path.empty()) return snapshot()->tenants.front();
  return Identify(Credentials::Of(context), right);
}

absl::StatusOr<std::shared_ptr<const Tenant>> TenantDirectory::Identify(
    const Credentials& credentials, Right right) const {
  const std::shared_ptr<const Snapshot> known = snapshot();
  if (options_.path.empty()) return known->tenants.front();
  std::shared_ptr<const Tenant> tenant;
  if (credentials.key.has_value()) {
    tenant = known->ByKey(DigestOfKey(*credentials.key));
    if (tenant == nullptr) return KeyUnknownError();
  } else {
    for (const std::string& identity : credentials.identities) {
      const auto found = known->by_identity.find(identity);
      if (found == known->by_identity.end()) continue;
      tenant = found->second;
      break;
    }
    if (tenant == nullptr) return KeyMissingError();
  }
  if (!tenant->May(right)) return RightMissingError(right);
  return tenant;
}

std::vector<std::string> TenantDirectory::Names() const {
  std::vector<std::string> names;
  for (const auto& tenant : snapshot()->tenants) names.push_back(tenant->name());
  return names;
}

absl::StatusOr<bool> TenantDirectory::ReloadIfChanged() {
  if (options_.path.empty()) return false;
  const FileStamp stamp = StampOf(options_.path);
  if (stamp == stamp_) return false;
  stamp_ = stamp;
  AD_ASSIGN_OR_RETURN(auto read, Read());
  MutexLock lock(mutex_);
  snapshot_ = std::move(read);
  return true;
}

}  // namespace antidiffusion
