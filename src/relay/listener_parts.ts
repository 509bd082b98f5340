// What the listeners of a relay's events are opened with.

import type { Clock } from "../clock.ts";
import type { LevelLog } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Settings } from "../settings/schema.ts";
import type { Status } from "../status/status.ts";

export interface ListenerParts {
  readonly settings: Settings;
  readonly runtime: Runtime;
  readonly log: LevelLog;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** Shows which receivers of events and traces work. */
  readonly status?: Pick<Status, "received"> | undefined;
}
