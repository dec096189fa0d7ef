#include "server/tls/certificates.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

template <auto kFree>
struct FreeWith {
  template <typename T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};
using Bio = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, FreeWith<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;

Bio Reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// No passphrase: nobody is there to be asked.
int NoPassphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) { return -1; }

// All certificates of a text; an error for none, or for something else after them.
absl::StatusOr<std::vector<Certificate>> ReadCertificates(const std::string& pem) {
  ERR_clear_error();
  const Bio bio = Reader(pem);
  std::vector<Certificate> certificates;
  while (X509* const next = PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr)) {
    certificates.emplace_back(next);
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end) return absl::InvalidArgumentError("a certificate cannot be read");
  if (certificates.empty()) return absl::InvalidArgumentError("no certificate (PEM)");
  return certificates;
}

absl::StatusOr<absl::Time> ExpiryOf(const X509& certificate) {
  std::tm time = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &time) != 1) {
    return absl::InvalidArgumentError("a certificate's expiry cannot be read");
  }
  return absl::FromTM(time, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<absl::Time> CheckPair(const std::string& chain_pem, const std::string& key_pem,
                                     absl::Time now) {
  AD_ASSIGN_OR_RETURN(const std::vector<Certificate> chain, ReadCertificates(chain_pem));
  const Bio bio = Reader(key_pem);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    return absl::InvalidArgumentError("no private key (PEM, without a passphrase)");
  }
  const bool is_pair = X509_check_private_key(chain.front().get(), key.get()) == 1;
  ERR_clear_error();
  if (!is_pair) return absl::InvalidArgumentError("the private key is not the certificate's");
  absl::Time expiry = absl::InfiniteFuture();
  for (const Certificate& certificate : chain) {
    AD_ASSIGN_OR_RETURN(const absl::Time its, ExpiryOf(*certificate));
    expiry = std::min(expiry, its);
  }
  if (expiry <= now) {
    return absl::FailedPreconditionError(
        absl::StrCat("the certificate expired at ",
                     absl::FormatTime(absl::RFC3339_sec, expiry, absl::UTCTimeZone())));
  }
  return expiry;
}

absl::Status CheckRoots(const std::string& roots_pem) {
  return ReadCertificates(roots_pem).status();
}

}  // namespace antidiffusion
