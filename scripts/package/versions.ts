// A version of package.json (https://semver.org) as Debian and RPM write it, so that both sort it in
// the same way: 1.0.0-rc.1 is before 1.0.0.

/** The package's own number: raised where only the packaging changes. */
export const RELEASE = "1";

/**
 * `1.0.0-rc.1` → `1.0.0~rc.1`: the tilde sorts before the end of a version in deb-version(7) and in
 * rpm-version(7).
 *
 * @throws Error if it is no semantic version
 */
export function packageVersion(version: string): string {
  const parts = /^(\d+\.\d+\.\d+)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?$/.exec(version);
  if (parts === null) throw new Error(`${version} is no semantic version`);
  const [, number, before, build] = parts;
  // A hyphen would begin the release.
  const text = [number, before && `~${before}`, build && `+${build}`].filter(Boolean).join("");
  return text.replaceAll("-", ".");
}

/**
 * `1.0.0~rc.1` → `1.0.0-rc.1-1`: the version and the package's own number, in the name of its file.
 * GitHub would rename a file with a tilde (REST API, "Upload a release asset"), and its checksum would be
 * that of no file.
 *
 * @param version as the packages write it
 */
export function versionInName(version: string): string {
  return `${version.replaceAll("~", "-")}-${RELEASE}`;
}
