# The agent: tracing needs the host's process namespace and a few capabilities, see docker-compose.yml.
#
# Where the build can reach no package index, put the locked wheels beside this file first
#   pip download --only-binary :all: -d wheels --require-hashes -r requirements/run.lock -r requirements/build.lock
# and build with --build-arg PIP_NO_INDEX=1.

FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv
# Kernel headers for hosts that have none; any version does, since the offsets come from the running kernel's BTF.
# Unpacked, not installed, because their packages ask for a compiler that nothing here uses; and not in /usr/src, where
# the host's own are mounted.
WORKDIR /headers
RUN apt-get download $(apt-cache depends --recurse --important "linux-headers-$(dpkg --print-architecture)" \
        | grep -E '^linux-headers-[0-9a-z.-]+$' | sort -u) \
    && for package in *.deb; do dpkg-deb --extract "$package" /headers/root; done \
    && sed -i 's#/usr/src/#/usr/local/src/#' root/usr/src/*/Makefile
WORKDIR /opt/lineage
RUN python3 -m venv .
ARG PIP_NO_INDEX
COPY requirements wheels* /wheels/
RUN bin/pip install --no-cache-dir --find-links /wheels --require-hashes -r /wheels/build.lock -r /wheels/run.lock
COPY . /source/
RUN bin/pip install --no-cache-dir --no-deps --no-index --no-build-isolation /source

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-bpfcc \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY --from=build /headers/root/usr/src /usr/local/src
COPY --from=build /opt/lineage /opt/lineage
ENV PATH=/opt/lineage/bin:$PATH
# Root only to load the programs; the agent then becomes an account without any right.
ENTRYPOINT ["lineage"]
CMD ["run"]
