PYTHON ?= python3
BIN := .venv/bin
DISTORTIONS := paper,webp-5,webp-20,webp-60,avif-10,avif-30,avif-60,jxl-10,jxl-40,jxl-80,noise-20,blur-1,noise-20+jpeg-10

.PHONY: demo test clean

.venv/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: .venv/installed  ## distort the photographs bundled with scikit-image, report what it cost
	$(BIN)/python examples/photographs.py demo/photographs
	$(BIN)/distort run demo/photographs demo/val --crop random:8 --seed 1 --shard-size 32 --distortions $(DISTORTIONS)
	$(BIN)/shards info demo/val
	$(BIN)/report build demo/val --out demo/report
	@echo "the report: $(CURDIR)/demo/report/index.html"

test: .venv/installed  ## lint and all tests
	$(BIN)/python -m pytest

clean:
	rm -rf .venv demo build *.egg-info
