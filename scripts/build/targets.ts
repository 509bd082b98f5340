// The systems that `build --all` makes executables for, and where their runtimes come from.
//
// Bun publishes its runtimes as npm packages. Those named here are in package-lock.json with their
// hashes (Bun's own package depends on them), so that a runtime is the locked one or none.

export interface Target {
  /** In the executable's name, after `smtp-oauth-relay-`. */
  readonly name: string;
  /** What Bun's compiler calls it (https://bun.sh/docs/bundler/executables). */
  readonly bun: string;
  /** The npm package that holds the runtime. */
  readonly package: string;
  /** The runtime inside of the package, and the ending of the executable. */
  readonly file: string;
  readonly suffix: "" | ".exe";
}

function target(name: string, packageName: string): Target {
  const windows = name.startsWith("windows-");
  return {
    name,
    bun: `bun-${name}`,
    package: `@oven/${packageName}`,
    file: windows ? "bin/bun.exe" : "bin/bun",
    suffix: windows ? ".exe" : "",
  };
}

/**
 * There is no `-baseline` next to the x64 ones: since Bun 1.4 its x64 runtimes are that, made for
 * SSE4.2 (2008), and choose wider instructions by the processor they find. Bun's baseline packages
 * hold the same octets. tests/deploy/executables.sh runs one on a processor without AVX.
 */
export const TARGETS: readonly Target[] = [
  target("linux-x64", "bun-linux-x64"),
  target("linux-x64-musl", "bun-linux-x64-musl"),
  target("linux-arm64", "bun-linux-aarch64"),
  target("linux-arm64-musl", "bun-linux-aarch64-musl"),
  target("darwin-x64", "bun-darwin-x64"),
  target("darwin-arm64", "bun-darwin-aarch64"),
  target("windows-x64", "bun-windows-x64"),
];
