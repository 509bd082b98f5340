// Whether the servers of the ways out can be used: connection, TLS, and the relay's login. No message is sent.

import type { Account, Authorization } from "../accounts/account.ts";
import { readEntry, type Row } from "../accounts/entry.ts";
import type { BackendName } from "../backend_name.ts";
import { isUntrusted } from "../graph/graph_errors.ts";
import { loginFor, serverOf, takesTokens } from "../relay/smtp_services.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { Settings } from "../settings/schema.ts";
import { replyText } from "../smtp/reply.ts";
import { codeOf, meaningOf } from "../smtp_backend/smtp_errors.ts";
import type { Login, MailClient, MailServer, ProbeResult } from "../smtp_client/mail_client.ts";
import { type Finding, finding } from "./finding.ts";
import type { Check } from "./run.ts";

export interface WayTools {
  readonly mail: Pick<MailClient, "probe">;
  /** Milliseconds for one conversation. */
  readonly timeout: number;
}

/** Milliseconds for all rows of a table, and more. */
const ROWS_DEADLINE = 25_000;

/**
 * A check for each way out of the settings that is reached by SMTP, and one for those that only entries name.
 *
 * @param rows of the lookup's entries, as far as they can be read; undefined if there is no lookup
 */
export function wayChecks(
  settings: Settings,
  tools: WayTools,
  rows?: () => Promise<readonly Row[]>,
): readonly Check[] {
  const names = namesOf(settings);
  const deadline = tools.timeout + 5_000;
  const own = names.map((name) => ({
    subject: "way",
    deadline,
    run: () => checkWay(settings, name, tools),
  }));
  if (rows === undefined) return own;
  return [...own, {
    subject: "way",
    deadline: ROWS_DEADLINE + deadline,
    async run() {
      const others = waysOfEntries(await rows()).filter((name) =>
        !names.includes(name) && typeof serverOf(settings, name) !== "string"
      );
      const found = await Promise.all(others.map((name) => checkWay(settings, name, tools)));
      return found.flat();
    },
  }];
}

async function checkWay(
  settings: Settings,
  name: BackendName,
  tools: WayTools,
): Promise<readonly Finding[]> {
  const login = loginFor(settings, name);
  // A token needs a login of the check: see `checkWayLogin`.
  const tried: Login = login.type === "token" ? { type: "none" } : login;
  let result = await probe(settings, name, tried, tools);
  // On this machine, a server may offer its login after STARTTLS alone.
  if (login.type === "token" && !offersTokens(result)) {
    result = await probe(settings, name, tried, tools, "starttls");
  }
  if (typeof result === "string") return [finding("way.no-auth", result)];
  if (result.type !== "ready" || login.type !== "token" || offersTokens(result)) {
    return [judge(settings, name, result)];
  }
  const offered = result.extensions.get("AUTH") ?? "nothing";
  return [finding("way.no-auth", `${where(settings, name)}, offers AUTH ${offered}`)];
}

/** Each once. What is wrong with an entry is a finding about the lookup. */
function waysOfEntries(rows: readonly Row[]): readonly BackendName[] {
  const names = rows.flatMap((row) => {
    const reading = readEntry(row);
    return reading.type === "entry" ? reading.entry.backends ?? [] : [];
  });
  return [...new Set(names)].filter((name) => name !== "graph");
}

/**
 * The login as the mailbox with the app's token, on each way out of the account that takes one.
 *
 * @param mailbox that would send; undefined if it is not known
 */
export async function checkWayLogin(
  { settings, account, authorization, mailbox }: {
    readonly settings: Settings;
    readonly account: Account;
    readonly authorization: Authorization;
    readonly mailbox: string | undefined;
  },
  tools: WayTools,
): Promise<readonly Finding[]> {
  const names = namesOf(settings, account).filter((name) => takesTokens(settings, name));
  const findings: Finding[] = [];
  for (const name of names) {
    if (mailbox === undefined) {
      const what = `${where(settings, name)}: not tried: --from names the mailbox`;
      findings.push(finding("way.not-tried", what));
      continue;
    }
    const token = await authorization.token(cloudOf(settings).exchangeScope);
    if ("type" in token) {
      const what = `no token for ${
        cloudOf(settings).exchangeScope
      }: ${token.code}: ${token.detail}`;
      findings.push(finding("way.permission", what));
      continue;
    }
    const login: Login = { type: "token", username: mailbox, token: token.value };
    const result = await probe(settings, name, login, tools);
    findings.push(
      typeof result === "string"
        ? finding("way.no-auth", result)
        : judge(settings, name, result, mailbox),
    );
  }
  return findings;
}

/** Whether the login goes to Graph, so that its token's roles are judged. */
export function usesGraph(settings: Settings, { backends = settings.BACKEND }: Account): boolean {
  return backends.includes("graph");
}

function namesOf(settings: Settings, account?: Account): readonly BackendName[] {
  const names = new Set<BackendName>(account?.backends ?? settings.BACKEND);
  if (settings.LARGE_MESSAGES === "exchange") names.add("exchange");
  names.delete("graph");
  return [...names];
}

/** Whether it does not lack a login with a token, as far as it has come. */
function offersTokens(result: ProbeResult | string): boolean {
  if (typeof result === "string" || result.type !== "ready") return true;
  return /\b(?:XOAUTH2|OAUTHBEARER)\b/i.test(result.extensions.get("AUTH") ?? "");
}

async function probe(
  settings: Settings,
  name: BackendName,
  login: Login,
  { mail, timeout }: WayTools,
  tls?: MailServer["tls"],
): Promise<ProbeResult | string> {
  const server = serverOf(settings, name);
  if (typeof server === "string") return server;
  const asked = { ...server, ...(tls === undefined ? {} : { tls }) };
  return await mail.probe({ ...asked, account: "check", limit: { connections: 1 } }, login, {
    timeout,
  });
}

/** @param mailbox that the relay has logged in as, with a token */
function judge(
  settings: Settings,
  name: BackendName,
  result: ProbeResult,
  mailbox?: string,
): Finding {
  const at = where(settings, name);
  const url = name === "exchange" ? "EXCHANGE_SMTP_URL" : "SMARTHOST_URL";
  if (result.type === "ready") {
    const tls = result.conversation.tls ? "in TLS" : "without TLS, on this machine";
    const login = result.mechanism === undefined
      ? "without a login"
      : `after a login by ${result.mechanism}`;
    const as = mailbox === undefined ? "" : ` as ${mailbox}`;
    return finding("way.ok", `${at}, takes mail ${tls}, ${login}${as}`);
  }
  if (result.type === "failed") {
    const { code, message, stage } = result;
    const what = `${at}: ${code}: ${message} (${stage})`;
    return isUntrusted({ sent: false, code })
      ? finding("way.certificate", what, certificateFix(code, url))
      : finding("way.unreachable", what, networkFix(result, url));
  }
  const { reply, stage, own } = result;
  if (own === "STARTTLS") return finding("way.no-tls", `${at}, does not offer STARTTLS`);
  if (own !== undefined) return finding("way.no-auth", `${at}: ${replyText(reply)}`);
  const what = `${at}, says ${codeOf(reply)}: ${replyText(reply)}`;
  if (stage !== "AUTH") return finding(reply.code < 500 ? "way.later" : "way.refused", what);
  if (codeOf(reply) === "SMTP 535 5.7.139") return finding("way.switched-off", what);
  if (meaningOf(reply, stage).next === "wait" || reply.code < 500) {
    return finding("way.later", what);
  }
  return mailbox === undefined
    ? finding("way.password", what)
    : finding("way.permission", `${what} (as ${mailbox})`);
}

function where(settings: Settings, name: BackendName): string {
  const server = serverOf(settings, name);
  return typeof server === "string" ? name : `${name}, ${server.hostname}:${server.port}`;
}

/** @param url the setting of the server's address */
function certificateFix(code: string, url: string): string | undefined {
  if (code === "CERT_HAS_EXPIRED") {
    return "have it renewed by those who run the server; and compare this machine's clock";
  }
  if (/^(?:ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)$/.test(code)) {
    return `set ${url} to a name that the certificate has`;
  }
  return undefined;
}

/** The two ways to begin TLS, taken for each other, look like a fault of the network. */
function networkFix({ code, stage }: FailedProbe, url: string): string {
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG/.test(code)) {
    return `the port begins without TLS: set ${url} to smtp://, or to the port with TLS at once, mostly 465`;
  }
  const network = `check the name and the port in ${url}, and the firewall; ` +
    "many networks block port 25, and some 587";
  return stage === "greeting"
    ? `a port with TLS at once, such as 465, needs smtps:// in ${url}; otherwise ${network}`
    : network;
}

type FailedProbe = Extract<ProbeResult, { readonly type: "failed" }>;
