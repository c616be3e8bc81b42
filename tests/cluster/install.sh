#!/usr/bin/env bash
# What tests/cluster runs, besides the project itself: install.sh [PYTHON]
# Without it, or without root, the tests say what they miss and are skipped.
set -uo pipefail
python=${1:-python3}

"$python" -m pip install --quiet --disable-pip-version-check 'ray>=2.52' 's3fs>=2024.12' 'swift>=2.35' ||
    echo "not all of ray, s3fs, swift could be installed: their tests will be skipped"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    for program in slurmctld munged ip; do
        PATH=$PATH:/usr/sbin command -v $program >/dev/null && continue
        { apt-get update -qq && apt-get install -qq -y --no-install-recommends slurm-wlm munge iproute2; } \
            >/dev/null 2>&1 || echo "no slurm-wlm, munge, iproute2: their tests will be skipped"
        break
    done
fi
