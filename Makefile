PYTHON ?= python3
BIN := .venv/bin
DISTORTIONS := paper,jpeg-30,j2k-40,bpg-36,webp-5,webp-20,webp-60,webp-80,avif-10,avif-30,avif-60,jxl-10,jxl-40,jxl-80,noise-20,blur-1,noise-20+jpeg-10
ARCH := shufflenet_v2_x0_5
CLEAN := demo/runs/clean/best.safetensors
RECIPE := --val demo/val --arch $(ARCH) --batch 16 --select-on validation --workers 1 --test-columns none --resume
TRAIN := OMP_NUM_THREADS=1 $(BIN)/train

.PHONY: demo test test-fast test-cluster clean

.venv/installed: setup.cfg setup.py pyproject.toml distort/metrics.c
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,train]'
	touch $@

demo: .venv/installed  ## distort tiles of scikit-image's photographs, train on them, report what it cost and bought
	$(BIN)/python examples/photographs.py demo/photographs
	$(BIN)/distort run demo/photographs/train demo/train --distortions jpeg-5 --shard-size 120
	$(BIN)/distort run demo/photographs/val demo/val --distortions $(DISTORTIONS) --shard-size 30
	$(TRAIN) finetune demo/train --column clean --weights none --epochs 4 --out demo/runs/clean $(RECIPE)
	$(TRAIN) finetune demo/train --column jpeg-5 --weights $(CLEAN) --epochs 2 --lr 3e-4 --out demo/runs/finetune $(RECIPE)
	$(TRAIN) expert demo/train --column jpeg-5 --weights $(CLEAN) --epochs 2 --lr 3e-4 --out demo/runs/expert $(RECIPE)
	$(TRAIN) evaluate demo/val --arch $(ARCH) --weights $(CLEAN) --out demo/runs/results.json --workers 1 \
		--checkpoint demo/runs/finetune/best.safetensors --checkpoint demo/runs/expert/best.safetensors
	$(BIN)/report build demo/val --results demo/runs --out demo/report --title "Photographs of scikit-image"
	@echo "the report: $(CURDIR)/demo/report/index.html"

test: .venv/installed  ## lint and all tests
	$(BIN)/python -m pytest --ignore tests/cluster

test-fast: .venv/installed  ## the tests without the slow ones
	$(BIN)/python -m pytest --ignore tests/cluster -m "not slow and not browser"

test-cluster: .venv/installed  ## Ray, Slurm and S3 servers on this machine, with faults; installs them (root)
	tests/cluster/install.sh $(BIN)/python
	$(BIN)/python -m pytest tests/cluster

clean:
	rm -rf .venv demo build *.egg-info
