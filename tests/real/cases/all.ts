// The matrix, in the order in which it is run: what uses up limits comes last.

import type { Case } from "../case.ts";
import { CONTENT } from "./content.ts";
import { EXCHANGE } from "./exchange.ts";
import { FILES } from "./files.ts";
import { FOUND } from "./found.ts";
import { HEADERS } from "./headers.ts";
import { OTHER_WAYS } from "./other_ways.ts";
import { REFUSED } from "./refusals.ts";
import { SENDERS } from "./senders.ts";
import { SIZES } from "./sizes.ts";
import { STORAGE } from "./storage.ts";
import { THROTTLING } from "./throttling.ts";
import { TOKENS } from "./tokens.ts";
import { UPLOADS } from "./uploads.ts";

export const CASES: readonly Case[] = [
  ...TOKENS,
  ...SENDERS,
  ...REFUSED,
  ...HEADERS,
  ...CONTENT,
  ...FILES,
  ...FOUND,
  ...EXCHANGE,
  ...OTHER_WAYS,
  ...STORAGE,
  ...UPLOADS,
  ...SIZES,
  ...THROTTLING,
];
