// Images whose streams break: what has come is kept, the rest is asked for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "client/protection_client.h"
#include "tests/client/fake_service.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const char kImage[] = "protected";

grpc::Status Broken() { return {grpc::StatusCode::UNAVAILABLE, "Socket closed"}; }

// A service that sends two bytes of an image and hangs up, and two more with each download.
class ResultResumptionTest : public ::testing::Test {
 protected:
  ResultResumptionTest() {
    service_.protect = [](auto*, const auto&, EventWriter& writer) {
      writer.Write(WithSequence(QueuedEvent(0), 1));
      return SendTwoBytes(writer, 0);
    };
    service_.watch_job = [](auto*, const auto&, EventWriter& writer) {
      writer.Write(WithSequence(QueuedEvent(0), 1));
      return SendTwoBytes(writer, 0);
    };
    service_.download_result = [this](auto*, const v1::DownloadResultRequest& request,
                                      EventWriter& writer) {
      downloads_.emplace_back(request.name(), request.offset());
      return SendTwoBytes(writer, static_cast<size_t>(request.offset()));
    };
  }

  static grpc::Status SendTwoBytes(EventWriter& writer, size_t offset) {
    const std::string image = kImage;
    writer.Write(ResultEvent(image.size()));
    writer.Write(ChunkEvent(offset, image.substr(offset, 2)));
    return offset + 2 >= image.size() ? grpc::Status::OK : Broken();
  }

  ProtectionClient Client() {
    return ProtectionClient({.server = service_.address(),
                             .sleep = [](absl::Duration, const std::stop_token&) { return true; }});
  }

  absl::StatusOr<ReceivedResult> Protect(const std::string& request_id) {
    v1::ProtectRequest request;
    request.set_request_id(request_id);
    auto result = Client().Protect(request, {}, nullptr);
    service_.Settle();
    return result;
  }

  FakeService service_;
  std::vector<std::pair<std::string, int64_t>> downloads_;
};

TEST_F(ResultResumptionTest, OfAProtectCallWithARequestId) {
  AD_ASSERT_OK_AND_ASSIGN(const ReceivedResult result, Protect("id-1"));
  EXPECT_EQ(result.image, kImage);
  EXPECT_EQ(result.facts.model(), "clothing");
  EXPECT_THAT(service_.requests(), SizeIs(1)) << "the work is not asked for again";
  EXPECT_THAT(downloads_, ElementsAre(std::make_pair("job", 2), std::make_pair("job", 4),
                                      std::make_pair("job", 6), std::make_pair("job", 8)));
}

TEST_F(ResultResumptionTest, NotOfAProtectCallWhoseJobIsForgotten) {
  EXPECT_THAT(Protect(""), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(downloads_, IsEmpty());
}

TEST_F(ResultResumptionTest, OfAWatch) {
  v1::WatchJobRequest request;
  request.set_name("a");
  const auto result = Client().WatchJob(request, {}, nullptr);
  service_.Settle();
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->image, kImage);
  EXPECT_THAT(downloads_, SizeIs(4));
  EXPECT_EQ(downloads_.front(), std::make_pair(std::string("a"), int64_t{2}));
}

TEST_F(ResultResumptionTest, OfADownload) {
  const auto result = Client().DownloadResult("a", {});
  service_.Settle();
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->image, kImage);
  EXPECT_THAT(downloads_, SizeIs(5));
}

TEST_F(ResultResumptionTest, EndsWhereNoByteComesAnyMore) {
  service_.download_result = [this](auto*, const v1::DownloadResultRequest& request,
                                    EventWriter& writer) {
    downloads_.emplace_back(request.name(), request.offset());
    writer.Write(ResultEvent(9));
    return Broken();
  };
  EXPECT_THAT(Protect("id-1"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(downloads_, SizeIs(9));
}

TEST_F(ResultResumptionTest, APieceOutOfOrderIsAnErrorAndNothingIsAskedForAgain) {
  service_.protect = [](auto*, const auto&, EventWriter& writer) {
    writer.Write(QueuedEvent(0));
    writer.Write(ResultEvent(9));
    writer.Write(ChunkEvent(2, "otected"));
    return grpc::Status::OK;
  };
  EXPECT_THAT(Protect("id-1"), StatusIs(absl::StatusCode::kInternal, "from byte 2 on"));
  EXPECT_THAT(downloads_, IsEmpty());
}

TEST_F(ResultResumptionTest, AStreamThatEndsWellBeforeTheLastByteIsAnError) {
  service_.protect = [](auto*, const auto&, EventWriter& writer) {
    writer.Write(ResultEvent(9));
    writer.Write(ChunkEvent(0, "prot"));
    return grpc::Status::OK;
  };
  EXPECT_THAT(Protect("id-1"), StatusIs(absl::StatusCode::kInternal, "4 of the image's 9"));
}

}  // namespace
}  // namespace antidiffusion
