// Helm, where it can be had.

import { helm } from "../../scripts/helm.mjs";

function found(): { readonly command?: readonly string[]; readonly absent: string | false } {
  try {
    return { command: helm(), absent: false };
  } catch (error) {
    return { absent: (error as Error).message };
  }
}

const { command, absent } = found();

/** Why there is no Helm; tests of it are skipped then. */
export const NO_HELM = absent;
/** Its program and first arguments. */
export const HELM = (command ?? ["helm"]) as readonly [string, ...string[]];
