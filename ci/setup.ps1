# SPDX-License-Identifier: Apache-2.0
#
# Installs what is needed to build and test mproc with Visual Studio 2022
# (17.5 or later): APR, CMocka and stb, by vcpkg.
#
#   ci\setup.ps1
#
# vcpkg is the one that VCPKG_ROOT or VCPKG_INSTALLATION_ROOT names, or one that
# is put under the user's cache folder. For the caller VCPKG_ROOT is set, which
# the preset "msvc" needs.
#
# Written with care, but untested: no Windows machine was at hand.

$ErrorActionPreference = 'Stop'
$triplet = 'x64-windows-static-md'

function Invoke-Checked {
    $program, $arguments = $args
    & $program @arguments
    if ($LASTEXITCODE -ne 0) { throw "$program failed with exit code $LASTEXITCODE" }
}

if (-not $env:VCPKG_ROOT) { $env:VCPKG_ROOT = $env:VCPKG_INSTALLATION_ROOT }
if (-not $env:VCPKG_ROOT) {
    $env:VCPKG_ROOT = Join-Path $env:LOCALAPPDATA 'mproc\vcpkg'
    if (-not (Test-Path $env:VCPKG_ROOT)) {
        Write-Host "==> Fetch vcpkg into $env:VCPKG_ROOT"
        Invoke-Checked git clone --depth 1 https://github.com/microsoft/vcpkg $env:VCPKG_ROOT
        Invoke-Checked (Join-Path $env:VCPKG_ROOT 'bootstrap-vcpkg.bat') -disableMetrics
    }
}

# vcpkg installs what is missing and passes over the rest.
Write-Host '==> Install apr, cmocka and stb with vcpkg'
Invoke-Checked (Join-Path $env:VCPKG_ROOT 'vcpkg.exe') install "--triplet=$triplet" apr cmocka stb
