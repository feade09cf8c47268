# The gateway's image: portus-gateway in a virtual environment, without a compiler, as an unprivileged user.
#
#   docker build --tag portus-gateway .
#   docker run --rm portus-gateway --version
#
# PORTUS_LISTEN sets the address. Its default is the container's own loopback, which cannot be reached from outside.
# deploy/ has a complete example and explains how to build with a package mirror.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /source

# A package without a wheel for this platform is an error here: there is no compiler.
COPY requirements/build.txt requirements/server.txt requirements/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python -m venv /build \
    && /build/bin/pip install --require-hashes --only-binary :all: --requirement requirements/build.txt \
    && python -m venv --without-pip /opt/portus-gateway \
    && /build/bin/pip --python /opt/portus-gateway/bin/python \
        install --require-hashes --only-binary :all: --requirement requirements/server.txt

COPY pyproject.toml README.md LICENSE ./
COPY clients/python clients/python
COPY server server
RUN /build/bin/pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /wheels . \
    && /build/bin/pip --python /opt/portus-gateway/bin/python install --no-index --no-deps /wheels/*.whl \
    && /build/bin/pip --python /opt/portus-gateway/bin/python check

FROM ${PYTHON_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="portus-gateway" \
      org.opencontainers.image.description="A typed gRPC API to a Docker Distribution (OCI) registry" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /opt/portus-gateway /opt/portus-gateway
ENV PATH="/opt/portus-gateway/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    PYTHONUNBUFFERED=1
# A number, so that an orchestrator can check that it is not root.
USER 65532:65532
WORKDIR /
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 CMD ["portus-gateway", "healthcheck"]
ENTRYPOINT ["portus-gateway"]
CMD ["serve"]
