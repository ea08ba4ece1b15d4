#!/usr/bin/env bash
# Installs what the black-box tests run: the AWS CLI, Chromium, a JDK with Maven
# from Debian's packages; the official SDKs for Python, Node, Java and Go, the
# stock X-Ray daemon and an OpenID Connect provider from their registries. Everything but the packages goes below
# .cache. A second run does nothing. Fails if anything is missing afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$PWD/.cache
mkdir -p "$cache"

need=()
[ -x /usr/bin/aws ] || need+=(awscli)
command -v chromium >/dev/null || need+=(chromium)
command -v mvn >/dev/null || need+=(maven)
command -v javac >/dev/null || need+=(default-jdk-headless)
command -v python3 >/dev/null || need+=(python3)
python3 -c 'import ensurepip' 2>/dev/null || need+=(python3-venv)
if [ ${#need[@]} -gt 0 ]; then
  sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  echo "installing ${need[*]}"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}"
fi

# once NAME PRODUCT FILE... -- COMMAND runs a command unless it already succeeded for
# these files and its product still exists.
once() {
  local name=$1 product=$2 files=()
  shift 2
  while [ "$1" != -- ]; do files+=("$1"); shift; done
  shift
  local stamp="$cache/$name.stamp" sum
  sum=$(cat "${files[@]}" | sha256sum)
  if [ -e "$product" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ]; then return; fi
  echo "installing $name"
  "$@"
  [ -e "$product" ] || { echo "missing after the installation: $product" >&2; exit 1; }
  echo "$sum" >"$stamp"
}

python() {
  rm -rf "$cache/venv"
  python3 -m venv "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check -r test/sdks/python/requirements.txt
}
node() { (cd "$1" && npm ci --no-audit --no-fund --silent); }
java() { mvn -q -B -f test/sdks/java/pom.xml package -DskipTests -DbuildDirectory="$cache/java"; }
go_install() { GOBIN=$cache/bin CGO_ENABLED=0 go install "$1"; }
go_tool() { (cd "$1" && CGO_ENABLED=0 go build -o "$cache/bin/$2" "$3"); }

once python "$cache/venv/bin/python" test/sdks/python/requirements.txt -- python
once node-sdk test/sdks/node/node_modules test/sdks/node/package-lock.json -- node test/sdks/node
once browser test/browser/node_modules test/browser/package-lock.json -- node test/browser
once oidc test/oidc/node_modules test/oidc/package-lock.json -- node test/oidc
once java "$cache/java/app.jar" test/sdks/java/pom.xml test/sdks/java/src/main/java/App.java -- java
once xray-daemon "$cache/bin/xray-daemon" test/sdks/daemon/go.mod -- go_tool test/sdks/daemon xray-daemon github.com/aws/aws-xray-daemon/daemon
once pebble "$cache/bin/pebble" test/tools/pebble/go.mod -- go_tool test/tools/pebble pebble github.com/letsencrypt/pebble/v2/cmd/pebble
once go-sdk "$cache/bin/go-app" test/sdks/go/go.mod test/sdks/go/main.go -- go_tool test/sdks/go go-app .
# A server with the API of AWS KMS.
once local-kms "$cache/bin/local-kms" scripts/install-test-tools.sh -- go_install github.com/nsmithuk/local-kms@v0.0.0-20260228092603-2a5e92d09ab6

for tool in /usr/bin/aws "$(command -v chromium)"; do
  [ -e "$tool" ] || { echo "missing after the installation: $tool" >&2; exit 1; }
done
