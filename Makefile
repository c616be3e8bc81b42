PYTHON ?= python3
BIN := .venv/bin
DISTORTIONS := paper,jpeg-30,j2k-40,bpg-36,webp-5,webp-20,webp-60,webp-80,avif-10,avif-30,avif-60,jxl-10,jxl-40,jxl-80,noise-20,blur-1,noise-20+jpeg-10
START := --arch lite0 --weights imagenet
RECIPE := --val demo/val --select-on validation --column jpeg-5 $(START) --epochs 1 --lr 2e-4 --batch 16 --test-columns none --resume
TRAIN := $(BIN)/train
# compat: otherwise a dataset called train, in the folder where Python starts, would hide the package of that name.
INSTALL := $(BIN)/pip install --quiet --no-compile --disable-pip-version-check --config-settings editable_mode=compat --editable
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

unexport PYTHONDONTWRITEBYTECODE  # pip compiles nothing: what is imported is compiled once

.DEFAULT_GOAL := help
.PHONY: help demo bench test test-fast test-cluster lint docs gallery constraints clean

help:  ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

.venv/installed: setup.cfg setup.py pyproject.toml distort/metrics.c
	$(PYTHON) -m venv .venv
	$(INSTALL) '.[report,train,lite]' scikit-image
	touch $@

.venv/tools: .venv/installed
	$(INSTALL) '.[dev]'
	touch $@

demo: .venv/installed  ## a converged ImageNet network meets 25 distortions, and an expert for one of them: demo/report
	$(BIN)/python examples/photographs.py demo/photographs
	$(BIN)/distort run demo/photographs/train.csv demo/train --distortions jpeg-5 --crop none --classes imagenet
	$(BIN)/distort run demo/photographs/val.csv demo/val --distortions $(DISTORTIONS) --crop none --classes imagenet
	$(TRAIN) finetune demo/train --out demo/runs/finetune $(RECIPE)
	$(TRAIN) expert demo/train --out demo/runs/expert $(RECIPE)
	$(TRAIN) evaluate demo/val $(START) --out demo/runs/pretrained/results.json
	$(TRAIN) evaluate demo/val --columns clean,jpeg-5,jpeg-10,jpeg-30,webp-5,bpg-51 --out demo/runs/trained/results.json \
		--checkpoint demo/runs/finetune/last.safetensors --checkpoint demo/runs/expert/last.safetensors
	$(BIN)/report build demo/val --results demo/runs --out demo/report \
		--title "Lite0 on photographs: does it keep its answer?"
	@echo "the report: $(CURDIR)/demo/report/index.html"

test: .venv/tools  ## lint and all tests
	$(PYTEST) --ignore tests/cluster

test-fast: .venv/tools  ## the tests without the slow ones
	$(PYTEST) --ignore tests/cluster -m "not slow and not browser"

test-cluster: .venv/tools  ## Ray, Slurm and S3 servers on this machine, with faults; installs them (root)
	tests/cluster/install.sh $(BIN)/python
	$(BIN)/python -m pytest tests/cluster

lint: .venv/tools  ## ruff and mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

bench: .venv/tools  ## measure ratios on the pictures of PICTURES=…, into docs/performance.md
	$(BIN)/python benchmarks/bench.py $(PICTURES)

docs: .venv/tools  ## the documentation site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

gallery: demo .venv/tools  ## the pictures of the demo's report in docs/gallery (needs Chromium)
	$(BIN)/python .ci/gallery.py demo/report docs/gallery

constraints:  ## renew constraints.txt: the newest versions of everything, resolved together
	$(PYTHON) .ci/constraints.py > constraints.new && mv constraints.new constraints.txt

clean:  ## remove what make made
	rm -rf .venv demo build *.egg-info
