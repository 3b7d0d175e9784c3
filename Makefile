# make lab    set everything up and open the notebooks in JupyterLab
# make test   set everything up and run all tests, the notebooks among them
# make train  train on the embedded ratings, print the report, recommend
# make book   build the site of all notebooks: open book/html/index.html
# make book REPOSITORY=https://github.com/owner/name   the same, with links to there, Binder and Colab
# make live   of that site only the page in which the models run: open book/html/live.html
# make fuzz   read ten thousand generated logs, and as many files, as the oracle does
# make mutations  put small faults into the module, one at a time: do the tests notice?
# make benchmark DATA=ml-1m.txt.xz        compare the speed with other implementations
# make gpu-check DATA=ml-1m.txt.xz        everything that is to be known about a GPU, in 8 minutes

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The compared run of the notebooks: one thread and no GPU, so that numbers agree everywhere.
SAME := OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES=

.PHONY: lab test train book live fuzz mutations benchmark gpu-check notebooks lint format lock clean

lab: $(READY)
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(LAB_ARGS)

test: $(READY)
	$(BIN)/pytest --nbval -n 2 tests notebooks $(TEST_ARGS)

train: $(READY)
	$(BIN)/bert4rec train --data small --preset tutorial --output runs/make-train --overwrite
	$(BIN)/bert4rec recommend --model runs/make-train "Toy Story (1995)" "Lion King, The (1994)" \
		"Aladdin (1992)" "Jurassic Park (1993)" "Apollo 13 (1995)"

# From the committed outputs; nothing is run.
book: $(READY)
	REPOSITORY="$(REPOSITORY)" $(BIN)/python docs/make_book.py

live: $(READY)
	$(BIN)/python docs/make_live.py

# Some ten minutes on two cores.
fuzz: $(READY)
	BERT4REC_EXAMPLES=10000 $(BIN)/pytest -n 2 --dist load tests/test_oracle.py tests/test_fuzz.py

# Some five minutes; writes tests/mutations.md.
mutations: $(READY)
	$(BIN)/python tests/mutations.py

# The peers live in environments of their own: what they need contradicts each other, and ours.
benchmark: $(READY) .venv-peers/.ready .venv-recbole/.ready
	$(BIN)/python benchmarks/training_speed.py --data $(DATA) --peers .venv-peers/bin/python \
		--recbole .venv-recbole/bin/python --rounds 1 --steps 5 --warmup 2 \
		--output results/training-speed.json
	$(BIN)/python benchmarks/other_times.py --data $(DATA) --output results/other-times.json

.venv-%/.ready: benchmarks/requirements-%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip install --quiet --requirement $<
	@touch $@

# Needs nothing but this folder and a Python with torch, numpy, pandas and safetensors. OUTPUT=FILE
# names the record.
gpu-check:
	$(PYTHON) benchmarks/gpu_check.py --data $(DATA) $(if $(OUTPUT),--output $(OUTPUT))

# Run all notebooks again, in place. A second run changes nothing that is compared. What a cell
# prints line by line is kept in one piece, as it looks while it runs.
notebooks: $(READY)
	$(SAME) $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False notebooks/*.ipynb
	$(BIN)/jupyter nbconvert --to notebook --inplace \
		--CoalesceStreamsPreprocessor.enabled=True notebooks/*.ipynb

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14)' 2>/dev/null || { \
		echo "Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# the lock names everything that is needed, so two may install at once, each a half of it
	grep -v '^#' requirements.lock | xargs -n 103 -P 2 $(BIN)/pip install --quiet --no-compile --no-deps
	$(BIN)/pip check
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@# no question about news in front of the first notebook, and nothing fetched for it
	$(BIN)/jupyter labextension disable --level=sys_prefix \
		"@jupyterlab/apputils-extension:announcements" 2>/dev/null
	@touch $@

# Write requirements.lock anew, from the newest versions that pyproject.toml allows.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet "torch==2.13.0" hatchling ".[notebooks,formats,onnx,book,test]"
	{ echo "# Written by 'make lock'; the versions that everything was tested with."; \
	  .venv-lock/bin/pip freeze --exclude bert4rec --all | grep -v '^\(pip\|nvidia-\|triton\|cuda-\)' \
	  | sed 's/+cpu$$//'; } > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) .venv-lock .venv-peers .venv-recbole runs training book .mypy_cache .pytest_cache .ruff_cache .hypothesis
