#!/bin/sh
# Builds the page. It is built in a copy, so that no node_modules lies where Go's
# tools walk, and without scripts of packages.
#
#	build.sh WORK          into dist
#	build.sh WORK check    and compare with dist
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$1
major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -lt 18 ] || ! command -v npm >/dev/null; then
	echo "the page is built by Node.js 18 or later with npm: apt-get install nodejs npm" >&2
	exit 1
fi
mkdir -p "$work"
# A module of its own is none of ./... .
echo "module page" >"$work/go.mod"
rm -rf "$work/src" "$work/public" "$work/dist"
cp -r "$here/src" "$here/public" "$here/index.html" "$here/package.json" "$here/package-lock.json" "$here/vite.config.js" "$work/"
cd "$work"
if ! cmp -s package-lock.json node_modules/.built-from; then
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	cp package-lock.json node_modules/.built-from
fi
node node_modules/vite/bin/vite.js build --logLevel warn
if [ "${2:-}" = check ]; then
	if diff -r dist "$here/dist"; then
		echo "the page's build is what its source makes"
	else
		echo "internal/web/ui/dist is not what its source makes: run make ui, and commit it" >&2
		exit 1
	fi
else
	rm -rf "$here/dist"
	cp -r dist "$here/dist"
fi
