# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN apt-get update \
    && apt-get install --yes --no-install-recommends musl-tools=1.2.3-1 \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches benches
COPY src src
COPY config.example.toml ./
ARG REVISION=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    target="$(uname -m)-unknown-linux-musl" \
    && SIWX_REVISION="${REVISION}" \
       cargo build --release --locked --bin siwx-gateway --target "${target}" \
    && mkdir -p /image/state \
    && cp "target/${target}/release/siwx-gateway" /image/siwx-gateway

FROM gcr.io/distroless/static:nonroot
ARG REVISION=unknown
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="siwx-gateway" \
      org.opencontainers.image.description="A reverse proxy that lets a request through when a crypto wallet proves itself" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/siwx-gateway /siwx-gateway
COPY --from=build --chown=65532:65532 /image/state /var/lib/siwx
USER 65532:65532
WORKDIR /var/lib/siwx
VOLUME ["/var/lib/siwx"]
EXPOSE 8080 8443 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/siwx-gateway", "healthcheck"]
ENTRYPOINT ["/siwx-gateway"]
CMD ["run", "-c", "/etc/siwx/siwx-gateway.toml"]
