#include "client/query_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "client/exit_codes.h"
#include "tests/client/fake_service.h"

namespace antidiffusion {
namespace {

using grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;

class QueryCommandsTest : public ::testing::Test {
 protected:
  QueryCommandsTest() {
    service_.list_models = [](auto*, v1::ListModelsResponse& response) {
      v1::Model& clothing = *response.add_models();
      clothing.set_name("clothing");
      clothing.set_family("sd1");
      clothing.set_prediction_type("epsilon");
      clothing.set_native_side(128);
      clothing.set_digest(std::string(64, 'a'));
      clothing.set_state(v1::Model::READY);
      clothing.add_devices("cpu");
      clothing.set_precision("fp32");
      clothing.mutable_capabilities()->set_denoises(true);
      clothing.mutable_capabilities()->set_semantic_layers(true);
      clothing.mutable_capabilities()->set_latent_channels(4);
      v1::Model& encoder = *response.add_models();
      encoder.set_name("vae");
      encoder.set_state(v1::Model::LOADING);
      encoder.mutable_capabilities()->set_latent_channels(16);
      v1::Model& broken = *response.add_models();
      broken.set_name("broken");
      broken.set_state(v1::Model::FAILED);
      broken.set_message("no weights");
      response.set_default_model("clothing");
      return grpc::Status::OK;
    };
  }

  FakeService service_;
  ProtectionClient client_{
      {.server = service_.address(), .sleep = [](auto, const auto&) { return true; }}};
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(QueryCommandsTest, ModelsIsATable) {
  EXPECT_EQ(RunModels(client_, {}, /*json=*/false, out_, err_), kExitOk);
  EXPECT_EQ(out_.str(),
            "  NAME      STATE    FAMILY  PREDICTION  NATIVE  LATENT  OBJECTIVES            "
            "                                  DEVICES  PRECISION  WEIGHTS\n"
            "* clothing  READY    sd1     epsilon     128 px  4       denoising,score-distil"
            "lation,semantic,away,norm,target  cpu      fp32       aaaaaaaaaaaa\n"
            "  vae       LOADING                              16      away,norm,target\n"
            "  broken    FAILED                                                             "
            "                                                      no weights\n");
}

TEST_F(QueryCommandsTest, ModelsAsJsonIsAnObjectAModel) {
  EXPECT_EQ(RunModels(client_, {}, /*json=*/true, out_, err_), kExitOk);
  std::istringstream lines(out_.str());
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const auto object = nlohmann::json::parse(line);
  EXPECT_EQ(object["name"], "clothing");
  EXPECT_EQ(object["state"], "READY");
  EXPECT_EQ(object["native_side"], 128);
  EXPECT_EQ(object["default"], true);
  EXPECT_EQ(object["capabilities"]["denoises"], true);
  EXPECT_EQ(object["capabilities"]["guides_by_image"], false);
  EXPECT_EQ(object["capabilities"]["latent_channels"], 4);
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(nlohmann::json::parse(line)["default"], false);
}

TEST_F(QueryCommandsTest, AnErrorIsALineAndAnExitCode) {
  service_.list_models = [](auto*, auto&) {
    return DetailedStatus(grpc::StatusCode::PERMISSION_DENIED, "no", {.reason = "KEY"});
  };
  EXPECT_EQ(RunModels(client_, {}, /*json=*/false, out_, err_), kExitFailed);
  EXPECT_EQ(err_.str(), "PERMISSION_DENIED: no [KEY limit=32]\n");
}

TEST_F(QueryCommandsTest, HealthTellsWhetherTheServerIsServing) {
  EXPECT_EQ(RunHealth(client_, {}, out_, err_), kExitOk);
  EXPECT_EQ(out_.str(), "SERVING\n");
}

TEST_F(QueryCommandsTest, HealthFailsWhenTheServerIsNotServing) {
  service_.health = HealthCheckResponse::NOT_SERVING;
  EXPECT_EQ(RunHealth(client_, {}, out_, err_), kExitFailed);
  EXPECT_EQ(out_.str(), "NOT_SERVING\n");
}

TEST_F(QueryCommandsTest, WithoutAServerTheExitCodeSaysSo) {
  bool slept = false;
  const ProtectionClient client({.server = UnusedAddress(), .sleep = [&](auto, const auto&) {
                                   slept = true;
                                   return true;
                                 }});
  EXPECT_EQ(RunHealth(client, {}, out_, err_), kExitUnreachable);
  EXPECT_FALSE(slept);  // health asks once
  EXPECT_EQ(RunModels(client, {}, /*json=*/false, out_, err_), kExitUnreachable);
  EXPECT_THAT(err_.str(), HasSubstr("UNAVAILABLE: server 127.0.0.1:"));
}

TEST_F(QueryCommandsTest, AnInterruptionHasItsExitCode) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(RunHealth(client_, {.stop = stop.get_token()}, out_, err_), kExitInterrupted);
}

}  // namespace
}  // namespace antidiffusion
