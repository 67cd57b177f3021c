#!/usr/bin/env bash
# Makes the two environments with cryosparc-tools that tests/contract/test_cryosparc_*.py run in, once.
#   bash tests/contract/cryosparc_environments.sh [FOLDER]
# FOLDER/4.7.1 and FOLDER/5.0.3; by default FOLDER is runs/cryosparc, where the tests look; name another one to them in
# ATTNPICK_CRYOSPARC_ENVIRONMENTS. They hold cryosparc-tools only: the tests lend them this project's own packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=${1:-${ATTNPICK_CRYOSPARC_ENVIRONMENTS:-runs/cryosparc}}
for version in 4.7.1 5.0.3; do
    environment="$folder/$version"
    if [ -e "$environment/installed" ]; then continue; fi
    .venv/bin/python -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "cryosparc-tools==$version" numpy==2.2.6
    touch "$environment/installed"
    echo "Made $environment."
done
