# SPDX-License-Identifier: Apache-2.0
#
# Shows mproc at its main job: blurs the project's pictures, each in a process
# of its own, as many at once as there are CPUs.
#
#   ci\demo.ps1 [<option of mproc-blur>...]
#
# Written with care, but untested: no Windows machine was at hand.

$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '..')
. ci\setup.ps1

Write-Host '==> Build: msvc'
Invoke-Checked cmake --preset msvc
Invoke-Checked cmake --build --preset msvc --parallel --target mproc-blur

Write-Host '==> Blur the pictures of examples\pictures'
$blur = 'build\msvc\examples\blur\RelWithDebInfo\mproc-blur.exe'
Invoke-Checked $blur examples\pictures -o build\demo -j $env:NUMBER_OF_PROCESSORS @args

Write-Host "The blurred pictures are in $(Resolve-Path build\demo):"
Get-ChildItem build\demo -Name
