#include "client/credentials.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/file_io.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 20;

template <typename T, void (*kFree)(T*)>
struct Deleter {
  void operator()(T* object) const { kFree(object); }
};
using Certificate = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using Buffer = std::unique_ptr<BIO, Deleter<BIO, BIO_free_all>>;

Buffer MakeBuffer(const std::string& text) {
  return Buffer(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// The first of the file's certificates; null where there is none.
Certificate ParseCertificate(const std::string& pem) {
  return Certificate(PEM_read_bio_X509(MakeBuffer(pem).get(), nullptr, nullptr, nullptr));
}

// Null where there is none; one behind a passphrase counts as none, since gRPC cannot ask for it.
PrivateKey ParsePrivateKey(const std::string& pem) {
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  return PrivateKey(
      PEM_read_bio_PrivateKey(MakeBuffer(pem).get(), nullptr, no_passphrase, nullptr));
}

absl::StatusOr<std::string> ReadFlagFile(absl::string_view flag, const std::string& path) {
  absl::StatusOr<std::string> text = ReadInputFile(path, kMaxFileBytes);
  if (text.ok()) return text;
  return absl::Status(text.status().code(),
                      absl::StrCat(flag, " ", path, ": ", text.status().message()));
}

absl::StatusOr<std::string> LoadApiKey(const CredentialSettings& settings) {
  std::string key = settings.api_key;
  if (!settings.api_key_file.empty()) {
    AD_ASSIGN_OR_RETURN(key, ReadFlagFile("--api-key-file", settings.api_key_file));
    absl::StripAsciiWhitespace(&key);
    if (key.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--api-key-file ", settings.api_key_file, ": holds no key"));
    }
  }
  if (!std::all_of(key.begin(), key.end(), [](char c) { return absl::ascii_isgraph(c); })) {
    return absl::InvalidArgumentError("the API key may hold only visible ASCII characters");
  }
  return key;
}

absl::Status LoadPair(const CredentialSettings& settings, grpc::SslCredentialsOptions& options) {
  if (settings.certificate_file.empty() != settings.key_file.empty()) {
    return absl::InvalidArgumentError("--cert and --key belong together");
  }
  if (settings.certificate_file.empty()) return absl::OkStatus();
  AD_ASSIGN_OR_RETURN(options.pem_cert_chain, ReadFlagFile("--cert", settings.certificate_file));
  AD_ASSIGN_OR_RETURN(options.pem_private_key, ReadFlagFile("--key", settings.key_file));
  const Certificate certificate = ParseCertificate(options.pem_cert_chain);
  const PrivateKey key = ParsePrivateKey(options.pem_private_key);
  const bool fits = certificate != nullptr && key != nullptr &&
                    X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--cert ", settings.certificate_file, ": holds no certificate in PEM"));
  }
  if (key == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--key ", settings.key_file, ": holds no private key in PEM without a passphrase"));
  }
  if (!fits) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--key ", settings.key_file, " is not that of --cert ", settings.certificate_file));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> LoadChannel(
    const CredentialSettings& settings) {
  if (!settings.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  if (!settings.ca_file.empty()) {
    AD_ASSIGN_OR_RETURN(options.pem_root_certs, ReadFlagFile("--ca", settings.ca_file));
    const bool readable = ParseCertificate(options.pem_root_certs) != nullptr;
    ERR_clear_error();
    if (!readable) {
      return absl::InvalidArgumentError(
          absl::StrCat("--ca ", settings.ca_file, ": holds no certificate in PEM"));
    }
  }
  AD_RETURN_IF_ERROR(LoadPair(settings, options));
  return grpc::SslCredentials(options);
}

}  // namespace

absl::StatusOr<Credentials> LoadCredentials(const CredentialSettings& settings) {
  Credentials credentials;
  AD_ASSIGN_OR_RETURN(credentials.api_key, LoadApiKey(settings));
  credentials.tls = settings.tls;
  AD_ASSIGN_OR_RETURN(credentials.channel, LoadChannel(settings));
  return credentials;
}

}  // namespace antidiffusion
