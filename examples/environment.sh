# Sourced by examples/quickstart.sh and tests/run.sh: makes .venv with pinned versions, once.

PINNED=(
    torch==2.13.0 numpy==2.2.6 scipy==1.15.3 h5py==3.14.0 mrcfile==1.5.4 starfile==0.5.13 pandas==2.3.3
    click==8.1.8 safetensors==0.5.3 matplotlib==3.10.7
)
PINNED_TESTS=(pytest==9.2.0 ruff==0.17.6 mypy==2.4.1 scikit-learn==1.7.2 pypdf==7.1.0 gemmi==0.7.4)

die() {
    echo "ERROR: $1" >&2
    exit 1
}

find_python() {
    local name
    for name in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10; do
        if [ -n "$name" ] && "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    die "no Python >= 3.10 with venv was found: install one (Debian: apt-get install python3-venv), or name it in PYTHON."
}

# make_environment REQUIREMENT: "." or ".[test]"
make_environment() {
    local requirement=$1 python wanted stamp
    local packages=("${PINNED[@]}")
    if [ "$requirement" != . ]; then packages+=("${PINNED_TESTS[@]}"); fi
    stamp=".venv/installed-$(printf '%s\n' "$requirement" "${packages[@]}" | cat - setup.cfg | cksum | cut -d' ' -f1)"
    if [ -e "$stamp" ]; then return; fi
    python=$(find_python)
    if [ ! -x .venv/bin/python ]; then
        "$python" -m venv .venv || die "$python cannot make a virtual environment in $PWD/.venv."
    fi
    echo "Installing pinned versions into $PWD/.venv (once; torch takes a while) ..."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "${packages[@]}" -e "$requirement" ||
        die "pip could not install the packages named above: check the network and the disk, then run this again."
    touch "$stamp"
}
