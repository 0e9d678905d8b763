# SPDX-License-Identifier: Apache-2.0
#
# Shows mproc at its main job: blurs the project's pictures by a pool of
# workers, one for each CPU, and measures how much faster that is than one
# process. Then it does so again while workers are killed: nothing is lost.
#
#   ci\demo.ps1 [<option of mproc-blur>...]      not --via, nor --method thread
#
# Written with care, but untested: no Windows machine was at hand.

$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '..')
. ci\setup.ps1

Write-Host '==> Build: msvc'
Invoke-Checked cmake --preset msvc
Invoke-Checked cmake --build --preset msvc --parallel --target mproc-blur

$blur = 'build\msvc\examples\blur\RelWithDebInfo\mproc-blur.exe'
$jobs = $env:NUMBER_OF_PROCESSORS
function Get-Checksums { (Get-FileHash build\demo\*.png).Hash -join ' ' }

Write-Host '==> Blur the pictures of examples\pictures: in one process, and by a pool of workers'
Invoke-Checked $blur examples\pictures -o build\demo -j $jobs --compare @args
$before = Get-Checksums

Write-Host '==> And again, while workers are killed'
Invoke-Checked $blur examples\pictures -o build\demo -j $jobs --chaos @args
if ((Get-Checksums) -ne $before) { throw 'the pictures are other ones than before' }
Write-Host 'The pictures are the same as before.'

Write-Host "The blurred pictures are in $(Resolve-Path build\demo):"
Get-ChildItem build\demo -Name
Write-Host "All of them at a glance: $(Resolve-Path build\demo\contact-sheet.png)"
