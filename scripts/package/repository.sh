#!/bin/sh
# Lays packages out as repositories, which any web server can serve, and signs them:
#
#   repository.sh PACKAGES DIRECTORY KEY
#
# with the directory that has the packages, a new one, and the name of a key of gpg. Makes
#
#   DIRECTORY/deb/       for apt: the packages, Packages.gz, InRelease
#   DIRECTORY/rpm/       for dnf and zypper: the packages, repodata/
#   DIRECTORY/key.asc    the public key
#
# Needs Debian's packages: apt-utils, createrepo-c, gnupg.
set -eu

for tool in apt-ftparchive createrepo_c gpg; do
  command -v $tool > /dev/null || {
    echo "repository: $tool is missing: apt-get install apt-utils createrepo-c gnupg" >&2
    exit 1
  }
done
[ $# -eq 3 ] || {
  echo "usage: repository.sh PACKAGES DIRECTORY KEY" >&2
  exit 2
}
packages=$1
directory=$2
key=$3

mkdir "$directory" "$directory/deb" "$directory/rpm"
cp "$packages"/*.deb "$directory/deb/"
cp "$packages"/*.rpm "$directory/rpm/"
gpg --batch --armor --export "$key" > "$directory/key.asc"
[ -s "$directory/key.asc" ] || {
  echo "repository: gpg has no key $key" >&2
  exit 1
}

cd "$directory/deb"
apt-ftparchive packages . > Packages
gzip -9nk Packages
# Not into this directory at once: it would be in the list itself.
apt-ftparchive -o APT::FTPArchive::Release::Origin=smtp-oauth-relay \
  -o APT::FTPArchive::Release::Label=smtp-oauth-relay release . > ../Release
gpg --batch --local-user "$key" --clearsign --output InRelease ../Release
rm ../Release

cd ../rpm
createrepo_c --quiet .
gpg --batch --local-user "$key" --armor --detach-sign repodata/repomd.xml
