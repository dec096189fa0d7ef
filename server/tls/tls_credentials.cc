#include "server/tls/tls_credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "server/tls/certificates.h"

namespace antidiffusion {
namespace {

constexpr int64_t kMaxPemBytes = 1 << 20;
constexpr unsigned int kLookEachSecond = 1;

absl::Status AddPath(const absl::Status& status, const std::string& path) {
  return {status.code(), absl::StrCat(path, ": ", status.message())};
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsCredentials>> TlsCredentials::Create(const TlsFiles& files,
                                                                       absl::Time now) {
  std::unique_ptr<TlsCredentials> credentials(new TlsCredentials(files, StampsNow(files)));
  AD_ASSIGN_OR_RETURN(const Material material, Read(files, now));
  AD_ASSIGN_OR_RETURN(credentials->pair_, MemoryFile::Create(material.pair));
  if (!files.roots.empty()) {
    AD_ASSIGN_OR_RETURN(credentials->roots_, MemoryFile::Create(material.roots));
  }
  credentials->SetExpiry(material.expiry);
  return credentials;
}

std::shared_ptr<grpc::ServerCredentials> TlsCredentials::ForServer() const {
  using grpc::experimental::FileWatcherCertificateProvider;
  const std::string pair = pair_->path();
  const std::string roots = roots_ == nullptr ? "" : roots_->path();
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<FileWatcherCertificateProvider>(pair, pair, roots, kLookEachSecond));
  options.watch_identity_key_cert_pairs();
  if (roots_ == nullptr) {
    options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  } else {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

absl::Time TlsCredentials::expiry() const {
  MutexLock lock(mutex_);
  return expiry_;
}

void TlsCredentials::SetExpiry(absl::Time expiry) {
  MutexLock lock(mutex_);
  expiry_ = expiry;
}

absl::StatusOr<bool> TlsCredentials::ReloadIfChanged(absl::Time now) {
  const Stamps stamps = StampsNow(files_);
  if (stamps == stamps_) return false;
  const absl::StatusOr<Material> material = Read(files_, now);
  if (stamps != StampsNow(files_)) return false;  // changed under the reading: the next time
  stamps_ = stamps;
  AD_RETURN_IF_ERROR(material.status());
  if (roots_ != nullptr) AD_RETURN_IF_ERROR(roots_->Replace(material->roots));
  AD_RETURN_IF_ERROR(pair_->Replace(material->pair));
  SetExpiry(material->expiry);
  return true;
}

absl::StatusOr<TlsCredentials::Material> TlsCredentials::Read(const TlsFiles& files,
                                                              absl::Time now) {
  Material material;
  AD_ASSIGN_OR_RETURN(const std::string chain, ReadFile(files.certificate, kMaxPemBytes));
  AD_ASSIGN_OR_RETURN(const std::string key, ReadFile(files.key, kMaxPemBytes));
  const auto expiry = CheckPair(chain, key, now);
  if (!expiry.ok()) {
    return AddPath(expiry.status(), absl::StrCat(files.certificate, ", ", files.key));
  }
  material.expiry = *expiry;
  material.pair = absl::StrCat(chain, "\n", key);
  if (files.roots.empty()) return material;
  AD_ASSIGN_OR_RETURN(material.roots, ReadFile(files.roots, kMaxPemBytes));
  const absl::Status roots = CheckRoots(material.roots);
  if (!roots.ok()) return AddPath(roots, files.roots);
  return material;
}

TlsCredentials::Stamps TlsCredentials::StampsNow(const TlsFiles& files) {
  return {StampOf(files.certificate), StampOf(files.key),
          files.roots.empty() ? FileStamp() : StampOf(files.roots)};
}

}  // namespace antidiffusion
