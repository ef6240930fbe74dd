#!/usr/bin/env bash
# What the tests of mark `pacs` talk to: Orthanc with DICOMweb, DCMTK's and dicom3tools' commands, a C compiler.
# Debian or Ubuntu; does nothing when all of it is there.
set -euo pipefail

wanted=(Orthanc storescu dciodvfy gcc ss)
missing=()
for command in "${wanted[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$command" > /dev/null || missing+=("$command")
done
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing+=("Orthanc's DICOMweb plugin")
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
echo "not installed: $(IFS=,; echo "${missing[*]}")"
if ! command -v apt-get > /dev/null; then
    echo "error: apt-get: not found; install orthanc, orthanc-dicomweb, orthanc-gdcm, dcmtk, dicom3tools, gcc and iproute2 by hand" >&2
    exit 2
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
# The package starts a server that listens on every address; the tests start their own, on loopback.
if [ -d /run/systemd/system ]; then
    "${as_root[@]}" systemctl mask orthanc.service
fi
packages=(orthanc orthanc-dicomweb orthanc-gdcm dcmtk dicom3tools gcc libc6-dev iproute2)
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}")
"${install[@]}" > /dev/null || { "${as_root[@]}" apt-get update -qq; "${install[@]}" > /dev/null; }
