#!/usr/bin/env bash
# Makes the environment if needed and runs all checks and tests. Arguments go to pytest: bash tests/run.sh -k peaks
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/environment.sh
make_environment ".[test]"
if [ $# -eq 0 ]; then
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .
    .venv/bin/mypy
fi
exec .venv/bin/python -m pytest "$@"
