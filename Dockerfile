# One file, two images:
#   docker build --target distort -t codecproof-distort .    CPU: distort, shards, report
#   docker build --target train -t codecproof-train .        GPU: the same, and train

FROM python:3.12-slim AS distort
WORKDIR /opt/codecproof
COPY setup.cfg setup.py pyproject.toml README.md LICENSE ./
COPY shards shards
COPY distort distort
COPY train train
COPY report report
RUN pip install --no-cache-dir .
WORKDIR /data
CMD ["distort", "--help"]

# PyPI's torch wheels bring their own CUDA libraries; the host needs the NVIDIA container toolkit.
FROM distort AS train
RUN pip install --no-cache-dir '/opt/codecproof[train]'
CMD ["train", "--help"]
