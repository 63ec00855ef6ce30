#!/bin/sh
# Trains every model of this board below build/board and measures it: `make board`.
# Enter it again after an interruption: what is done is not done again.
set -eu
board=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$board/../../build/board"
cd "$board/../../build/board"
while read -r recipe; do
  # shellcheck disable=SC2086  # a line holds several words
  bench train $recipe </dev/null
done <<'RECIPES'
undefended --lr 0.1
at
at --seed 1
at --seed 2
at --threat l2
at --threat l1
trades
avg
max
mat
mat --seed 1
RECIPES
bench evaluate --threat union --suite pgd-100,crossfire --board ../../leaderboard/published
