# Everything runs in .venv, which is made when it is missing: python3, make and pip are enough.
# uv installs it, because it takes the registry's own build of torch and needs seconds.
PYTHON ?= python3
VENV := .venv
PUBLISHED := bench report --board leaderboard/published
# Python keeps compiled modules: without them each start of bench takes seconds longer.
unexport PYTHONDONTWRITEBYTECODE
export OMP_WAIT_POLICY ?= PASSIVE
export PATH := $(CURDIR)/$(VENV)/bin:$(CURDIR)/build/uv/bin:$(PATH)

.PHONY: demo test lint docs board leaderboard images verify benchmarks constraints clean

demo: $(VENV)/installed
	bench demo

test: $(VENV)/installed
	OMP_NUM_THREADS=1 pytest --numprocesses auto --maxprocesses 8 --dist worksteal

lint: $(VENV)/installed
	ruff check .
	ruff format --check .
	mypy
	mypy benchmarks
	$(PUBLISHED) --format markdown --compact --out README.md --check
	$(PUBLISHED) --format markdown --out docs/leaderboard.md --check
	$(PUBLISHED) --format svg --out docs/charts --check

docs: $(VENV)/installed
	sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV), about a minute ..."
	@uv --version >/dev/null 2>&1 || $(PYTHON) -m pip install --quiet \
	  --disable-pip-version-check --root-user-action ignore --target build/uv uv
	@test -x $(VENV)/bin/python || uv venv --quiet --python $(PYTHON) $(VENV)
	@uv pip install --quiet --python $(VENV)/bin/python -c constraints.txt -e '.[test,docs,imitation]'
	@$(VENV)/bin/python -c "import bench.measurement, pandas, pyarrow.parquet"  # compiles them
	@touch $@

# Trains and measures the models of the project's own board, which takes some hours.
board: $(VENV)/installed
	bench run leaderboard/digits.toml --minutes 240

# Renders the project's own board into the documents; `make lint` fails when that was forgotten.
leaderboard: $(VENV)/installed
	$(PUBLISHED) --format markdown --compact --out README.md
	$(PUBLISHED) --format markdown --out docs/leaderboard.md
	$(PUBLISHED) --format svg --out docs/charts

# Renews the pictures of the page in the documents; needs chromium and chromedriver.
images: $(VENV)/installed
	python docs/screenshots.py

# Checks the board's records of digits again, which need no download, from the weights beside them.
# SAMPLE=20 looks at 20 images of each kind only.
verify: $(VENV)/installed
	bench verify --allow-missing $(addprefix --sample ,$(SAMPLE)) \
	  $$(grep -l '"name": "digits"' leaderboard/published/records/*.json)

# Measures what the documents promise about speed.
benchmarks: $(VENV)/installed
	python benchmarks/report.py

# Renews the exact versions; commit the result. The extra `peers` is left out: torchattacks wants
# a requests of 2021, which nothing else can live with.
constraints:
	uv pip compile pyproject.toml $(addprefix --extra ,test docs zoo cluster hf timm imitation) --universal --python-version 3.11 --upgrade \
	  --no-annotate --no-header --quiet --output-file constraints.txt

clean:
	rm -rf $(VENV) build dist docs/_build
