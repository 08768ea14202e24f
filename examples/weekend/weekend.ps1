# A weekend's migration, to be started by a person or by the Task Scheduler, and to be started again at any time:
# every start goes on where the last one ended.
#
#   .\weekend.ps1 -Project C:\migrations\acme -Deadline "Mon 06:00" -Sign file:C:\keys\report.pem
#
# Ends with the exit code of what ended it (see README.md of migrator):
#   0  everything is there, compared, and reported      4, 5  some mailboxes did not finish, also after -Tries runs
#   2  something in the project must be corrected       6     the weekend is over: start it again next weekend
#   3  items failed or differ: the report says which    130   stopped by a person
[CmdletBinding()]
param(
    [string]$Project = ".",
    [string]$Migrator = "migrator",   # the command
    [string]$Deadline = "Mon 06:00",  # when people come back to work
    [string]$Sign = "",               # key for a signed report: file:..., env:... or keyring:...
    [int]$Tries = 5,                  # runs before mailboxes that do not finish are left to a person
    [int]$PauseSeconds = 600          # between them
)
Set-StrictMode -Version Latest
$ErrorActionPreference = "Continue"

function Write-Step([string]$Text) {
    Write-Host ""
    Write-Host ("== {0:yyyy-MM-ddTHH:mm:ssZ}  {1}" -f (Get-Date).ToUniversalTime(), $Text)
}

function Write-Report {
    Write-Step "report"
    if ($Sign) { & $Migrator report -p $Project --sign $Sign } else { & $Migrator report -p $Project }
}

# Before: is everything reachable, what will be done, will it be done in time? Nothing is written yet.
Write-Step "check"
& $Migrator check -p $Project
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
Write-Step "plan"
& $Migrator plan -p $Project
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
Write-Step "forecast"
& $Migrator forecast -p $Project --stop-at $Deadline --deadline $Deadline
if ($LASTEXITCODE -ne 0) { Write-Host "the forecast is incomplete" }

# The work. What a run could not do the next one does; nothing is copied twice.
$code = 1
for ($try = 1; $try -le $Tries; $try++) {
    Write-Step "run $try of at most $Tries, until $Deadline"
    & $Migrator run (Join-Path $Project "plan.json") -p $Project --quiet --stop-at $Deadline
    $code = $LASTEXITCODE
    if ($code -eq 0 -or $code -eq 6) { break }           # all done, or the window is over
    if ($code -eq 3) {                                   # items failed: once more, then a person looks
        if ($try -gt 1) { break }
    }
    elseif ($code -eq 4 -or $code -eq 5) {               # a server is away, a disk is full: later again
        if ($try -lt $Tries) { Start-Sleep -Seconds $PauseSeconds }
    }
    else {                                               # 2: correct something; 130: somebody stopped it
        Write-Report
        exit $code
    }
}

& $Migrator status -p $Project
if ($code -eq 6) {
    Write-Report
    exit 6
}

# After: is it all there? What differs or failed is named.
Write-Step "verify"
& $Migrator verify -p $Project
$verified = $LASTEXITCODE
if ($code -eq 3) { & $Migrator errors -p $Project }
Write-Report
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
if ($code -ne 0) { exit $code }
exit $verified
