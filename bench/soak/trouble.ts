// What the cloud of the soak does wrong: every way in which Graph and Entra ID are known to refuse,
// throttle, break and keep silent, drawn by chance from a seed.
//
// Codes: https://learn.microsoft.com/graph/errors and Exchange's response codes, which the mail API
// gives in `error.code`. A request that is throttled or refused is never carried out. Whatever else
// goes wrong may come before or after the message was taken.

import { type Fault, Faults, type Operation } from "../../src/sandbox/faults.ts";
import { seeded } from "../processes.ts";

type Trouble = Omit<Fault, "on">;

/** Clear refusals of the request that sends: the message is not taken. */
const REFUSALS: readonly Trouble[] = [
  { status: 400, code: "ErrorMimeContentInvalid" },
  { status: 400, code: "ErrorMimeContentInvalidBase64String" },
  { status: 400, code: "ErrorContentConversionFailed" },
  { status: 400, code: "ErrorInvalidRecipients" },
  { status: 400, code: "ErrorInvalidSmtpAddress" },
  { status: 400, code: "ErrorMessageSizeExceeded" },
  { status: 400, code: "BadRequest", message: "Maximum request length exceeded. 4MB" },
  { status: 403, code: "ErrorAccessDenied" },
  { status: 403, code: "ErrorSendAsDenied" },
  { status: 403, code: "ErrorAccountDisabled" },
  { status: 403, code: "ErrorQuotaExceeded" },
  { status: 404, code: "ErrorInvalidUser" },
  { status: 404, code: "ResourceNotFound" },
  { status: 404, code: "MailboxNotEnabledForRESTAPI" },
  { status: 404, code: "ErrorItemNotFound" },
  { status: 404, html: true },
  { status: 405, code: "Request_BadRequest" },
  { status: 409, code: "ErrorIrresolvableConflict" },
  { status: 413, code: "RequestEntityTooLarge" },
  { status: 413, html: true, after: "head" },
  { status: 415, code: "Request_BadRequest" },
  { status: 423, code: "Locked" },
  { status: 429, code: "ErrorSubmissionQuotaExceeded" },
  { status: 401, code: "NoPermissionsInAccessToken" },
];

/** To be tried again: nothing was taken. */
const PUT_OFF: readonly Trouble[] = [
  { status: 401, code: "InvalidAuthenticationToken" },
  { status: 401, code: "InvalidAuthenticationToken", after: "head" },
  { status: 429, code: "ApplicationThrottled", retryAfter: 1 },
  { status: 429, code: "ApplicationThrottled", retryAfter: 0 },
  { status: 429, code: "ApplicationThrottled" },
  { status: 429, html: true, retryAfter: 1 },
  { status: 503, code: "ErrorServerBusy", retryAfter: 1 },
  { status: 503, code: "ErrorServerBusy" },
  { status: 503, code: "CommandConcurrencyLimitReached" },
  { status: 503, html: true, retryAfter: 1 },
  { status: 503, code: "ErrorServerBusy", retryAfter: 1, after: "head" },
];

/** The response does not show whether the request was carried out. */
const DOUBTFUL: readonly Trouble[] = [
  { status: 500, code: "ErrorInternalServerError" },
  { status: 500, code: "ErrorInternalServerTransientError" },
  { status: 503, code: "ErrorMailboxStoreUnavailable" },
  { status: 503, code: "ErrorMailboxMoveInProgress" },
  { status: 504, code: "ErrorTimeoutExpired" },
  { status: 509, code: "ErrorServerBusy", retryAfter: 1 },
  { status: 500, html: true },
  { status: 502, html: true },
  { status: 503, html: true },
  { status: 504, html: true },
  { status: 408, html: true },
  { status: 200 },
  { status: 302, location: "https://127.0.0.1:1/elsewhere" },
  { connection: "close" },
  { connection: "reset" },
  { status: 500, code: "ErrorInternalServerError", connection: "truncate" },
  { status: 503, html: true, connection: "truncate" },
  { status: 500, code: "ErrorTimeoutExpired", delay: 1500 },
];
/** The same, and each takes as long as the relay waits for a response. */
const SILENT: readonly Trouble[] = [
  { connection: "blackhole" },
  { status: 502, html: true, connection: "drip", delay: 200 },
];

/** Before the request's body has been read. */
const EARLY: readonly Trouble[] = [
  { after: "head", connection: "close" },
  { after: "head", connection: "reset" },
  { after: "head", status: 502, html: true },
];

/** The message is accepted and reported so, in an unusual form. */
const ODD: readonly Trouble[] = [
  { after: "take", status: 202, delay: 800 },
  { after: "take", status: 202, connection: "truncate" },
  { after: "take", status: 202, connection: "drip", delay: 100 },
];

const TOKEN: readonly Trouble[] = [
  { status: 429, code: "temporarily_unavailable", number: 90055, retryAfter: 1 },
  { status: 400, code: "temporarily_unavailable", number: 90033 },
  { status: 400, code: "server_error", number: 90006 },
  { status: 500, code: "server_error", number: 90012 },
  { status: 503, html: true },
  { status: 503, code: "temporarily_unavailable", number: 50196 },
  { connection: "close" },
  { connection: "reset" },
  { status: 200, connection: "truncate" },
  { status: 302, location: "https://127.0.0.1:1/elsewhere" },
  { after: "take", delay: 1000, status: 200 },
];

interface Share {
  /** Of all requests of this kind. */
  readonly share: number;
  readonly kinds: readonly Trouble[];
  /** Whether it comes as often after the request was carried out as before. */
  readonly either?: boolean;
}

const ON_SENDING: readonly Share[] = [
  { share: 0.06, kinds: REFUSALS },
  { share: 0.06, kinds: PUT_OFF },
  { share: 0.06, kinds: DOUBTFUL, either: true },
  { share: 0.01, kinds: SILENT, either: true },
  { share: 0.01, kinds: EARLY },
  { share: 0.02, kinds: ODD },
];
const ON_THE_WAY: readonly Share[] = [
  { share: 0.02, kinds: REFUSALS },
  { share: 0.06, kinds: PUT_OFF },
  { share: 0.05, kinds: DOUBTFUL, either: true },
  { share: 0.01, kinds: SILENT, either: true },
  { share: 0.01, kinds: EARLY },
];
const ON_TOKENS: readonly Share[] = [{ share: 0.2, kinds: TOKEN }];

function sharesOf(on: Operation): readonly Share[] {
  if (on === "token") return ON_TOKENS;
  return on === "sendMail" || on === "sendDraft" ? ON_SENDING : ON_THE_WAY;
}

/** Faults without end, in place of scripted ones. */
export class RandomFaults extends Faults {
  readonly #random: () => number;
  /** How often each has happened, by operation and what it was. */
  readonly counts: Record<string, number> = {};
  /** Ends all faults. */
  calm = false;

  constructor(seed: number) {
    super();
    this.#random = seeded(seed);
  }

  override take(on: Operation): Fault | undefined {
    if (this.calm) return undefined;
    let chance = this.#random();
    for (const { share, kinds, either } of sharesOf(on)) {
      if (chance >= share) {
        chance -= share;
        continue;
      }
      const trouble = kinds[Math.floor(this.#random() * kinds.length)]!;
      const after = trouble.after ?? (either && this.#random() < 0.5 ? "take" : "refuse");
      const { status = "", code = "", connection = "", html } = trouble;
      const what = [status, code, html ? "HTML" : "", connection].filter((word) => word !== "");
      const name = `${on} ${what.join(" ")} ${WHEN[after]}`;
      this.counts[name] = (this.counts[name] ?? 0) + 1;
      return { ...trouble, on, after };
    }
    return undefined;
  }
}

const WHEN = { head: "before it was read", refuse: "not carried out", take: "carried out" };
