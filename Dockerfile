# One file, two images:
#   docker build --target distort -t codecproof-distort .    CPU: distort, shards, report, with Ray and object stores
#   docker build --target train -t codecproof-train .        GPU: the same, and train
# constraints.txt pins every version: two nodes that were built on two days write the same bytes.

FROM python:3.11-bookworm AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# Dependencies come first, by themselves: a change of the sources does not download them again.
FROM python:3.11-slim-bookworm AS distort-dependencies
RUN useradd --create-home --uid 1000 codecproof && install --directory --owner codecproof /data
WORKDIR /opt/codecproof
COPY setup.cfg pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --no-cache-dir --constraint constraints.txt '.[report,ray,s3]'

# PyPI's torch wheels bring their own CUDA libraries; the host needs the NVIDIA container toolkit.
FROM distort-dependencies AS train-dependencies
RUN pip install --no-cache-dir --constraint constraints.txt '.[train,timm]'

FROM distort-dependencies AS distort
RUN --mount=from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-deps --force-reinstall /wheels/*.whl
USER 1000
WORKDIR /data
CMD ["distort", "--help"]

FROM train-dependencies AS train
RUN --mount=from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-deps --force-reinstall /wheels/*.whl
USER 1000
WORKDIR /data
CMD ["train", "--help"]
