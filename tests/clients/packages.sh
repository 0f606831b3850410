# shellcheck shell=bash
# How the suites of this folder get their packages: sourced by their scripts, and by tests/run.
#
# Packages are installed beside the lock file that names them, once for each state of it. Suites need Node 20.11: with an
# older one they exit with 77, which stands for skipped.

# need_node WHO: ends the script where Node is too old for it.
need_node() {
    if ! node --eval 'const [major, minor] = process.versions.node.split("."); process.exit(Number(major * 100 + Number(minor) < 2011))'; then
        echo "$1 need Node 20.11 or newer, and this is $(node --version)"
        exit 77
    fi
}

# npm_packages FOLDER ...: those of package-lock.json.
npm_packages() {
    local folder
    for folder in "$@"; do
        if cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed"; then continue; fi
        (cd "$folder" && npm ci --loglevel=error)
        cp "$folder/package-lock.json" "$folder/node_modules/.installed"
    done
}

# python_packages FOLDER: those of requirements.txt, in an environment of their own.
python_packages() {
    local venv=$1/.venv
    if cmp -s "$1/requirements.txt" "$venv/installed.txt"; then return; fi
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$1/requirements.txt"
    cp "$1/requirements.txt" "$venv/installed.txt"
}
