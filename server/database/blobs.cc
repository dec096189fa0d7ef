// JobDatabase: the verbs of images, which are kept in chunks.
#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "server/database/job_database.h"
#include "server/database/job_rows.h"

namespace antidiffusion {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;  // of all but the last

absl::Status NoBlob(const std::string& digest) {
  return absl::NotFoundError(absl::StrCat("no blob ", digest));
}

absl::StatusOr<int64_t> SizeOfBlob(SqlConnection& connection, const std::string& digest) {
  AD_ASSIGN_OR_RETURN(const SqlResult blob,
                      connection.Run("SELECT size FROM blobs WHERE digest = $1", {digest}));
  if (blob.empty()) return NoBlob(digest);
  return blob.Int(0, 0);
}

absl::StatusOr<std::string> ReadChunk(SqlConnection& connection, const std::string& digest,
                                      int64_t number) {
  AD_ASSIGN_OR_RETURN(
      const SqlResult chunk,
      connection.Run("SELECT bytes FROM blob_chunks WHERE digest = $1 AND number = $2",
                     {digest, number}));
  if (chunk.empty()) return NoBlob(digest);  // deleted between two chunks
  return chunk.Text(0, 0);
}

// `size` bytes of a chunk from its byte `offset` on.
absl::StatusOr<std::string> ReadInChunk(SqlConnection& connection, const std::string& digest,
                                        int64_t number, int64_t offset, int64_t size) {
  AD_ASSIGN_OR_RETURN(
      const SqlResult part,
      connection.Run("SELECT substr(bytes, CAST($3 AS INTEGER), CAST($4 AS INTEGER)) "
                     "FROM blob_chunks WHERE digest = $1 AND number = $2",
                     {digest, number, offset + 1, size}));
  if (part.empty()) return NoBlob(digest);
  if (static_cast<int64_t>(part.Text(0, 0).size()) == size) return part.Text(0, 0);
  return absl::DataLossError(absl::StrCat("chunk ", number, " of blob ", digest, " is cut off"));
}

// Lends a session for each chunk alone: others need not wait for all of it.
absl::Status CheckBlob(SqlPool& pool, const std::string& digest) {
  AD_ASSIGN_OR_RETURN(
      const int64_t size,
      Query<int64_t>(pool, [&](SqlConnection& connection, int64_t& bytes) -> absl::Status {
        AD_ASSIGN_OR_RETURN(bytes, SizeOfBlob(connection, digest));
        return absl::OkStatus();
      }));
  Sha256 sum;
  int64_t number = 0;
  for (int64_t offset = 0; offset < size; offset += static_cast<int64_t>(kChunkBytes)) {
    AD_ASSIGN_OR_RETURN(
        const std::string chunk,
        Query<std::string>(pool,
                           [&](SqlConnection& connection, std::string& bytes) -> absl::Status {
                             AD_ASSIGN_OR_RETURN(bytes, ReadChunk(connection, digest, number));
                             return absl::OkStatus();
                           }));
    sum.Update(chunk);
    ++number;
  }
  if (sum.FinishHex() == digest) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("blob ", digest, " is not what was put"));
}

}  // namespace

absl::Status JobDatabase::PutBlob(const std::string& digest, const std::string& bytes) {
  return InTransaction(*pool_, [&](SqlConnection& connection) -> absl::Status {
    AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
    AD_RETURN_IF_ERROR(connection
                           .Run("INSERT INTO blobs (digest, size, made) VALUES ($1, $2, $3) "
                                "ON CONFLICT (digest) DO UPDATE SET made = excluded.made",
                                {digest, static_cast<int64_t>(bytes.size()), now})
                           .status());
    AD_ASSIGN_OR_RETURN(
        const SqlResult there,
        connection.Run("SELECT 1 FROM blob_chunks WHERE digest = $1 LIMIT 1", {digest}));
    if (!there.empty()) return absl::OkStatus();
    int64_t number = 0;
    for (size_t offset = 0; offset == 0 || offset < bytes.size(); offset += kChunkBytes) {
      AD_RETURN_IF_ERROR(
          connection
              .Run("INSERT INTO blob_chunks (digest, number, bytes) VALUES ($1, $2, $3)",
                   {digest, number++, SqlBytes{bytes.substr(offset, kChunkBytes)}})
              .status());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> JobDatabase::GetBlob(const std::string& digest) {
  return Query<std::string>(
      *pool_, [&](SqlConnection& connection, std::string& bytes) -> absl::Status {
        AD_ASSIGN_OR_RETURN(const int64_t size, SizeOfBlob(connection, digest));
        for (int64_t number = 0; static_cast<int64_t>(bytes.size()) < size; ++number) {
          AD_ASSIGN_OR_RETURN(const std::string chunk, ReadChunk(connection, digest, number));
          bytes += chunk;
        }
        return absl::OkStatus();
      });
}

absl::StatusOr<std::string> JobDatabase::GetBlobPiece(const StoredPiece& piece) {
  if (piece.check) AD_RETURN_IF_ERROR(CheckBlob(*pool_, piece.digest));
  constexpr auto kChunk = static_cast<int64_t>(kChunkBytes);
  return Query<std::string>(
      *pool_, [&](SqlConnection& connection, std::string& bytes) -> absl::Status {
        AD_ASSIGN_OR_RETURN(const int64_t size, SizeOfBlob(connection, piece.digest));
        const int64_t end = std::min(size, piece.offset + piece.size);
        for (int64_t at = piece.offset; at < end;) {
          const int64_t in_chunk = std::min(end - at, kChunk - at % kChunk);
          AD_ASSIGN_OR_RETURN(
              const std::string part,
              ReadInChunk(connection, piece.digest, at / kChunk, at % kChunk, in_chunk));
          bytes += part;
          at += in_chunk;
        }
        return absl::OkStatus();
      });
}

}  // namespace antidiffusion
