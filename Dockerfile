# The service, its worker and its client.
#
#   docker build -t antidiffusion:0.1.0 .                        runs on a CPU
#   docker build -t antidiffusion:0.1.0-cuda --build-arg CUDA=1 .  runs on an NVIDIA GPU, too
#
# LibTorch finds its libraries by the paths of the build, so both stages use the same ones.
FROM debian:12.11-slim AS build
ARG CUDA=0
WORKDIR /opt/antidiffusion

# What is installed depends on these files alone.
COPY scripts scripts
RUN if [ "$CUDA" = 1 ]; then scripts/setup --cuda; else scripts/setup; fi \
  && rm -rf /var/lib/apt/lists/*

COPY . .
ARG REVISION=""
RUN preset=default folder=build \
  && if [ "$CUDA" = 1 ]; then preset=cuda folder=build-cuda; fi \
  && if [ -n "$REVISION" ]; then \
       cmake --preset "$preset" -D ANTIDIFFUSION_REVISION="$REVISION"; fi \
  && scripts/build --preset "$preset" antidiffusiond antidiffusion-worker antidiffusion \
  && install -D -s -t /runtime/opt/antidiffusion/bin "$folder/bin/antidiffusiond" \
       "$folder/bin/antidiffusion-worker" "$folder/bin/antidiffusion" \
  && install -D deploy/verify_models /runtime/opt/antidiffusion/bin/verify-models \
  && install -d -o 65532 -g 65532 /runtime/var/lib/antidiffusion \
  && deploy/collect_libraries /runtime "$folder/bin/antidiffusion-worker" \
  && cp -r models LICENSE /runtime/opt/antidiffusion/

FROM debian:12.11-slim
LABEL org.opencontainers.image.title="antidiffusion" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
  && apt-get install -y --no-install-recommends \
       libabsl20220623 \
       libcivetweb1 \
       libcurl4 \
       libexiv2-27 \
       libfmt9 \
       libgrpc++1.51 \
       libgrpc29 \
       libicu72 \
       libjemalloc2 \
       libjpeg62-turbo \
       libopencv-core406 \
       libopencv-imgproc406 \
       libpng16-16 \
       libpq5 \
       libprometheus-cpp-core1.0 \
       libprotobuf32 \
       libspdlog1.10 \
       libsqlite3-0 \
       libssl3 \
       libstdc++6 \
       libwebp7 \
       libwebpdemux2 \
       libwebpmux3 \
       zlib1g \
  && rm -rf /var/lib/apt/lists/*
COPY --from=build /runtime /
# A tokenizer is no token.
# hadolint ignore=DL3064
ENV PATH=/opt/antidiffusion/bin:$PATH \
    ANTIDIFFUSION_MODEL_REPOSITORY=/opt/antidiffusion/models \
    ANTIDIFFUSION_TOKENIZERS=/opt/antidiffusion/models/tokenizers \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 65532:65532
EXPOSE 8001 8002
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s \
  CMD ["antidiffusion", "health", "--timeout", "5"]
ENTRYPOINT ["antidiffusiond"]
