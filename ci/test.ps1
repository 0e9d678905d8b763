# SPDX-License-Identifier: Apache-2.0
#
# Builds mproc with Visual Studio 2022 and runs its tests.
#
#   ci\test.ps1 [<ctest option>...]
#
# Written with care, but untested: no Windows machine was at hand.

$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '..')
. ci\setup.ps1

Write-Host '==> Build: msvc'
Invoke-Checked cmake --preset msvc
Invoke-Checked cmake --build --preset msvc --parallel

Write-Host '==> Test: msvc'
Invoke-Checked ctest --preset msvc @args
Invoke-Checked cmake -D BUILD=build/msvc -P cmake/CheckSkips.cmake
