// The relay in Go, built of Debian's packages, which are unpacked into a folder below dist/: nothing is
// installed, and no user needs to be root.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root } from "../support.ts";

const LIBRARIES = ["golang-github-emersion-go-smtp-dev", "golang-github-emersion-go-sasl-dev"];
const PLACE = `${root}dist/peers`;

/** @returns the path of the executable. @throws Error where Debian's packages cannot be had */
export function buildGoRelay(): string {
  mkdirSync(PLACE, { recursive: true });
  const debian = join(PLACE, "debian");
  if (!existsSync(debian)) unpack(debian);
  const lib = join(debian, "usr/lib");
  const version = readdirSync(lib).find((name) => name.startsWith("go-"));
  if (version === undefined) throw new Error(`${lib} has no Go: delete ${debian}`);
  const made = join(PLACE, "relay-go");
  run(join(lib, version, "bin/go"), ["build", "-o", made, `${root}bench/peers/relay.go`], {
    GOROOT: join(lib, version),
    GOPATH: join(debian, "usr/share/gocode"),
    GOCACHE: join(PLACE, "go-cache"),
    GO111MODULE: "off",
    GOFLAGS: "",
    GOTOOLCHAIN: "local",
    // Names are resolved by Go itself, and no C compiler is needed.
    CGO_ENABLED: "0",
  });
  return made;
}

/** The version of go-smtp, as Debian counts it. */
export function goSmtpVersion(): string {
  const file = readdirSync(PLACE).find((name) => name.startsWith(`${LIBRARIES[0]}_`));
  return file?.split("_")[1] ?? "";
}

function unpack(debian: string): void {
  // `golang-go` only names the package of the current version.
  const depends = run("apt-cache", ["depends", "golang-go"]);
  const compiler = /Depends: (golang-[\d.]+-go)/.exec(depends)?.[1];
  if (compiler === undefined) throw new Error("apt knows no golang-go");
  const packages = [compiler, compiler.replace(/-go$/, "-src"), ...LIBRARIES];
  run("apt-get", ["download", ...packages]);
  try {
    for (const name of packages) {
      const file = readdirSync(PLACE).find((found) => found.startsWith(`${name}_`));
      run("dpkg-deb", ["-x", file ?? name, debian]);
    }
  } catch (error) {
    rmSync(debian, { recursive: true, force: true });
    throw error;
  }
}

function run(command: string, args: readonly string[], more: Record<string, string> = {}): string {
  return execFileSync(command, args, {
    cwd: PLACE,
    encoding: "utf8",
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...more },
    stdio: ["ignore", "pipe", "pipe"],
  });
}
