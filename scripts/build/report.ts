// What an executable's octets are: how many each package has in the bundle, and what comes with it.

import { type Bundle } from "./bundle.ts";
import { nameOf, placeOf } from "./lock.ts";

export interface Sizes {
  /** Octets. */
  readonly executable: number;
  readonly runtime: number;
}

/** A line for each package, the largest first; then the sum, the runtime and the rest. */
export function report({ files, text }: Bundle, { executable, runtime }: Sizes): string {
  const packages = new Map<string, number>();
  for (const [file, octets] of files) {
    const place = placeOf(file);
    const name = place === undefined ? "(our own)" : nameOf(place);
    packages.set(name, (packages.get(name) ?? 0) + octets);
  }
  const lines = [...packages].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  // The text is ASCII: as many characters as octets.
  const bundle = text.length;
  return [
    ...lines,
    ["= bundle", bundle] as const,
    ["Bun's runtime", runtime] as const,
    ["bytecode, notices, padding", executable - runtime - bundle] as const,
    ["= executable", executable] as const,
  ].map(([name, octets]) => `${octets.toLocaleString("en").padStart(13)}  ${name}\n`).join("");
}
