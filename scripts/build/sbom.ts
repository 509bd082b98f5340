// The list of what the executables consist of (SBOM), in the form of CycloneDX 1.6
// (https://cyclonedx.org/docs/1.6/json/): every package that package-lock.json has for production,
// and Bun's runtimes. It comes of the lock file and the bundle alone, so the same inputs give the
// same octets: there is no time and no random serial number in it.

import { Buffer } from "node:buffer";
import * as Enums from "@cyclonedx/cyclonedx-library/Enums";
import * as License from "@cyclonedx/cyclonedx-library/Contrib/License";
import * as Models from "@cyclonedx/cyclonedx-library/Models";
import * as Serialize from "@cyclonedx/cyclonedx-library/Serialize";
import * as Spec from "@cyclonedx/cyclonedx-library/Spec";
import parseSpdx from "spdx-expression-parse";
import { type Lock, type LockedPackage, nameOf, placeOf, resolveFrom } from "./lock.ts";
import { TARGETS } from "./targets.ts";

const licenses = new License.Factories.LicenseFactory(parseSpdx);

/**
 * @param commit as `version` prints it
 * @param files those in the bundle: packages without any are `excluded` in the list
 */
export function sbom(lock: Lock, commit: string, files: Iterable<string>): string {
  const bundled = new Set([...files].map(placeOf));
  const bom = new Models.Bom();
  const program = new Models.Component(Enums.ComponentType.Application, lock.name, {
    bomRef: lock.name,
    version: lock.version,
    licenses: licensesOf(lock.packages[""]!),
  });
  program.properties.add(new Models.Property(`${lock.name}:commit`, commit));
  bom.metadata.component = program;

  const components = new Map<string, Models.Component>();
  for (const [place, locked] of Object.entries(lock.packages)) {
    if (place === "" || locked.dev === true) continue;
    const scope = bundled.has(place)
      ? Enums.ComponentScope.Required
      : Enums.ComponentScope.Excluded;
    components.set(place, component(place, locked, scope));
  }
  for (const [place, own] of [["", program] as const, ...components]) {
    for (const name of dependenciesOf(lock.packages[place]!)) {
      const found = components.get(resolveFrom(lock, place, name) ?? "");
      if (found !== undefined) own.dependencies.add(found.bomRef);
    }
  }
  // Each executable holds one of them.
  for (const target of TARGETS) {
    const place = `node_modules/${target.package}`;
    const runtime = component(place, lock.packages[place]!, Enums.ComponentScope.Required);
    runtime.properties.add(new Models.Property(`${lock.name}:executable`, target.name));
    components.set(place, runtime);
    program.dependencies.add(runtime.bomRef);
  }
  for (const own of components.values()) bom.components.add(own);

  return new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6))
    .serialize(bom, { sortLists: true, space: 2 }) + "\n";
}

function component(
  place: string,
  locked: LockedPackage,
  scope: Enums.ComponentScope,
): Models.Component {
  const [, group, name] = /^(?:(@[^/]+)\/)?(.+)$/.exec(nameOf(place))!;
  const { version, integrity } = locked;
  return new Models.Component(Enums.ComponentType.Library, name!, {
    // A package may be there in one version at two places.
    bomRef: place.replaceAll("node_modules/", ""),
    ...(group !== undefined && { group }),
    version,
    purl: `pkg:npm/${group === undefined ? "" : `${encodeURIComponent(group)}/`}${name}@${version}`,
    scope,
    licenses: licensesOf(locked),
    hashes: new Models.HashDictionary([[
      Enums.HashAlgorithm["SHA-512"],
      Buffer.from(integrity.slice("sha512-".length), "base64").toString("hex"),
    ]]),
  });
}

function licensesOf({ license }: LockedPackage): Models.LicenseRepository {
  return new Models.LicenseRepository(
    license === undefined ? [] : [licenses.makeFromString(license)],
  );
}

function dependenciesOf(locked: LockedPackage): string[] {
  return Object.keys({
    ...locked.dependencies,
    ...locked.optionalDependencies,
    ...locked.peerDependencies,
  });
}
