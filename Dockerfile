# The gateway's image: portus-gateway in a virtual environment, without a compiler, as an unprivileged user.
#
#   docker build --tag portus-gateway .
#   docker run --rm portus-gateway --version
#
# deploy/image builds the image of a release, with all labels. deploy/README.md explains both.
# PORTUS_LISTEN sets the address. Its default is the container's own loopback, which cannot be reached from outside.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /source

# A package without a wheel for this platform is an error here: there is no compiler.
COPY requirements/build.txt requirements/image.txt requirements/server.txt requirements/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    --mount=type=cache,target=/root/.cache/pip \
    python -m venv /build \
    && /build/bin/pip install --no-compile --require-hashes --only-binary :all: \
        --requirement requirements/build.txt --requirement requirements/image.txt \
    && python -m venv --without-pip /opt/portus-gateway \
    && /build/bin/pip --python /opt/portus-gateway/bin/python \
        install --no-compile --require-hashes --only-binary :all: --requirement requirements/server.txt

COPY pyproject.toml README.md LICENSE ./
COPY clients/python clients/python
COPY server server
RUN /build/bin/pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /wheels . \
    && /build/bin/pip --python /opt/portus-gateway/bin/python install --no-compile --no-index --no-deps --find-links /wheels portus-gateway \
    && /build/bin/pip --python /opt/portus-gateway/bin/python check \
    && mkdir /opt/portus-gateway/share \
    && /build/bin/cyclonedx-py environment --output-reproducible --no-validate --pyproject pyproject.toml --mc-type application \
        --output-file /opt/portus-gateway/share/sbom.cdx.json /opt/portus-gateway/bin/python \
# The same sources make the same files: no time is in the compiled modules. They are used without a look at the source.
    && PYTHONHASHSEED=0 /opt/portus-gateway/bin/python -m compileall -f -q --invalidation-mode unchecked-hash \
        /opt/portus-gateway/lib

FROM ${PYTHON_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="portus-gateway" \
      org.opencontainers.image.description="A typed gRPC API to a Docker Distribution (OCI) registry" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/portus-gateway/portus-gateway" \
      org.opencontainers.image.documentation="https://github.com/portus-gateway/portus-gateway/tree/main/deploy" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
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
