#!/usr/bin/env bash
# What the workflow does, on this machine: train, pin a baseline, and hold a good and a bad candidate against it.
#     bash examples/gate_in_ci/run_locally.sh
set -euo pipefail
cd "$(dirname "$0")"
harness check gates.yaml
harness run experiment.yaml
if [ ! -d released/orders-1 ]; then # in a repository of your own: commit this folder, and review its changes
    harness release orders/shipped --as orders-1 --in released --anyway "an example"
fi
harness gate gates.yaml --candidate orders/candidate --junit gate.xml --markdown gate.md
code=0
harness gate gates.yaml --candidate orders/worse || code=$?
if [ "$code" -ne 1 ]; then
    echo "the worse candidate ended with exit code $code, not 1" >&2
    exit 1
fi
echo "The candidate may be released; the worse one is stopped with exit code 1."
