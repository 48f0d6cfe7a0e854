#!/usr/bin/env bash
# Packs both crates into TARGET/package, and builds the client from what is packed.
#
# Cargo's own verification takes a packed crate for unchangeable: of a version that it has once unpacked and compiled it
# sees no later contents. In folders it does, by the files' times, which a crate has none of.
set -euo pipefail
target=$(mkdir -p "$1" && cd "$1" && pwd)
rm -rf "$target"/{package,packed}
cargo package --quiet --locked --allow-dirty --workspace --no-verify --target-dir "$target"
mkdir "$target/packed"
for crate in "$target"/package/*.crate; do
  tar -xzmf "$crate" -C "$target/packed"
done
proto=$(echo "$target"/packed/autopilot-proto-*)
client=$(echo "$target"/packed/autopilot-client-*)
cargo build --quiet --manifest-path "$client/Cargo.toml" --target-dir "$target" --config "patch.crates-io.autopilot-proto.path='$proto'"
