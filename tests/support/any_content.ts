/** Messages for properties. Apart from content.ts, which the fuzzer bundles: it takes no fast-check. */
import type { Content } from "../../src/smtp/content.ts";
import { content } from "./content.ts";
import * as fc from "./property.ts";

/** Any split of any octets, taken from `piece`, into blocks that are not empty. */
export function anyContent(piece: fc.Arbitrary<string>): fc.Arbitrary<Content> {
  return fc.array(piece, { maxLength: 40 }).map((pieces) => content(...pieces));
}
