#!/usr/bin/env bash
# A weekend's migration, to be started by a person, by cron or by a scheduler, and to be started again at any time:
# every start goes on where the last one ended.
#
#   DEADLINE="Mon 06:00" SIGN=file:/etc/acme/report.pem ./weekend.sh /srv/acme
#
# Ends with the exit code of what ended it (see README.md of migrator):
#   0  everything is there, compared, and reported      4, 5  some mailboxes did not finish, also after TRIES runs
#   2  something in the project must be corrected       6     the weekend is over: start it again next weekend
#   3  items failed or differ: the report says which    130   stopped by a person
set -u

project=${1:-.}
migrator=${MIGRATOR:-migrator}   # the command
deadline=${DEADLINE:-Mon 06:00}  # when people come back to work
sign=${SIGN:-}                   # key for a signed report: file:…, env:… or keyring:…
tries=${TRIES:-5}                # runs before mailboxes that do not finish are left to a person
pause_s=${PAUSE_S:-600}          # between them

step() { printf '\n== %s  %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1"; }

report() {
    step "report"
    if [ -n "$sign" ]; then
        "$migrator" report -p "$project" --sign "$sign"
    else
        "$migrator" report -p "$project"
    fi
}

# Before: is everything reachable, what will be done, will it be done in time? Nothing is written yet.
step "check"
"$migrator" check -p "$project" || exit $?
step "plan"
"$migrator" plan -p "$project" || exit $?
step "forecast"
"$migrator" forecast -p "$project" --stop-at "$deadline" --deadline "$deadline" || echo "the forecast is incomplete"

# The work. What a run could not do the next one does; nothing is copied twice.
code=1
for ((try = 1; try <= tries; try++)); do
    step "run $try of at most $tries, until $deadline"
    "$migrator" run "$project/plan.json" -p "$project" --quiet --stop-at "$deadline"
    code=$?
    case $code in
        0) break ;;                                      # all done
        3) [ "$try" -gt 1 ] && break ;;                  # items failed: once more, then a person looks
        4 | 5) [ "$try" -lt "$tries" ] && sleep "$pause_s" ;; # a server is away, a disk is full: later again
        6) break ;;                                      # the window is over
        *) report; exit "$code" ;;                       # 2: correct something; 130: somebody stopped it
    esac
done

"$migrator" status -p "$project"
if [ "$code" -eq 6 ]; then
    report
    exit 6
fi

# After: is it all there? What differs or failed is named.
step "verify"
"$migrator" verify -p "$project"
verified=$?
[ "$code" -eq 3 ] && "$migrator" errors -p "$project"
report || exit $?
[ "$code" -ne 0 ] && exit "$code"
exit "$verified"
