#!/usr/bin/env bash
# Takes both example handlers through the life of a resource, for real; `make demo`.
#
# Everything is made in a temporary folder. Ends with what was made and deleted,
# and fails if anything is not as it has to be.

set -euo pipefail
cd "$(dirname "$0")/.."

formwork=${FORMWORK:-target/debug/formwork}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir "$place/resources" "$place/data"

done_so_far=()
wrong=0

say() { printf '\n== %s\n' "$*"; }

# Says that something is not as it has to be.
differs() {
    printf 'demo: %s\n' "$*" >&2
    wrong=$((wrong + 1))
}

# Runs an action of a component on the model on standard input, shows the chain,
# and leaves what came of it in $model.
act() {
    local action=$1 component=$2 status=0
    shift 2
    printf '$ formwork run %s %s %s\n' "$action" "$component" "$*"
    model=$("$formwork" run "$action" "target/guests/$component" "$@" \
        --grant "dir=$place/resources" --data "$place/data") || status=$?
    printf '%s\n' "$model"
    [[ $status -eq ${expected:-0} ]] || differs "$action of $component ended with $status, not ${expected:-0}"
    [[ $status -ne 0 ]] || done_so_far+=("$action ${component%.wasm}")
}

# Gives a property of $model, which formwork prints a line each.
property() {
    sed -n "s/^  \"$1\": \"\{0,1\}\(.*[^\",]\)\"\{0,1\},\{0,1\}\$/\1/p" <<<"$model"
}

property_is() {
    local value
    value=$(property "$1")
    [[ $value == "$2" ]] || differs "$1 is '$value', not '$2'"
}

holds() {
    [[ $(cat "$place/resources/$1" 2>/dev/null) == "$2" ]] || differs "$1 does not hold '$2'"
}

lists() {
    [[ $model == *"$1"* ]] || differs "$1 is not in the list"
}

is_gone() {
    [[ ! -e $place/resources/$1 ]] || differs "$1 is still there"
}

say 'A file: every action answers at once'
act create file.wasm --model - <<<'{"Name": "greeting.txt", "Contents": "Hello, Formwork!"}'
property_is Size 16
holds greeting.txt 'Hello, Formwork!'
previous=$model
act read file.wasm --identifier greeting.txt
property_is Contents 'Hello, Formwork!'
printf '%s' "$previous" >"$place/previous.json"
act update file.wasm --model - --previous "$place/previous.json" <<<'{"Name": "greeting.txt", "Contents": "Hello again!"}'
property_is Size 12
holds greeting.txt 'Hello again!'
act list file.wasm
lists greeting.txt
act delete file.wasm --identifier greeting.txt
is_gone greeting.txt
expected=1 act read file.wasm --identifier greeting.txt

say 'An archive: it is ready after several invocations, which the host makes'
act create stabilizing.wasm --model - <<'MODEL'
{"Files": [{"Name": "a.txt", "Contents": "first"}, {"Name": "b.txt", "Contents": "second"}, {"Name": "c.txt", "Contents": "third"}], "Delay": 1}
MODEL
property_is Status READY
property_is Entries 3
archive=$(property ArchiveId)
[[ $(tar --list --file "$place/resources/$archive.tar" | tr '\n' ' ') == 'a.txt b.txt c.txt ' ]] \
    || differs "$archive.tar does not hold a.txt, b.txt and c.txt"
printf '%s' "$model" >"$place/previous.json"
act read stabilizing.wasm --identifier "$archive"
property_is Status READY
act update stabilizing.wasm --model - --previous "$place/previous.json" <<MODEL
{"ArchiveId": "$archive", "Files": [{"Name": "d.txt", "Contents": "fourth"}], "Delay": 1}
MODEL
property_is Entries 1
act list stabilizing.wasm
lists "$archive"
act delete stabilizing.wasm --identifier "$archive"
is_gone "$archive.tar"

say 'What was done'
printf '%s\n' "${done_so_far[@]}" | sort | uniq -c | awk '{ printf "%-8s %-12s %s\n", $2, $3, $1 == 1 ? "once" : $1 " times" }'
left=$(find "$place/resources" -type f ! -name '.*' | wc -l)
[[ $left -eq 0 ]] || differs "$left files are left"
if ((wrong)); then
    printf 'demo: %s things are not as they have to be\n' "$wrong" >&2
    exit 1
fi
echo 'Two resources were made, changed and deleted; nothing is left of them.'
