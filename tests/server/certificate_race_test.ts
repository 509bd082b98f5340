// Certificate files that are replaced two hundred times while the relay runs, in ways that leave every
// half of a pair in place for a while: no handshake fails, and each new certificate is used.

import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { FileSource } from "../../src/certificates/file_source.ts";
import { type Relay, startRelay } from "../../src/relay/relay.ts";
import { createLog } from "../support/log.ts";
import { SmtpClient } from "../end_to_end/smtp_client.ts";
import { type Chain, issueChain } from "../support/chains.ts";
import { settingsOf } from "../support/settings.ts";

const ROTATIONS = 200;

describe("certificate files replaced while the relay runs", () => {
  let directory: string;
  let chains: Chain[];
  let relay: Relay;
  const lines: { level: string; message: string; reason?: string }[] = [];
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "relay-race-"));
    chains = [await issueChain(), await issueChain(), await issueChain({ key: "RSA" })];
    writeFileSync(certificatePath(), chains[0]!.certificate);
    writeFileSync(keyPath(), chains[0]!.privateKey);
    relay = await startRelay({
      settings: settingsOf({
        SMTP_LISTEN: "127.0.0.1:0",
        SMTPS_LISTEN: "127.0.0.1:0",
        HTTP_LISTEN: "off",
      }),
      log: createLog({
        level: "DEBUG",
        format: "json",
        write: (line) => void lines.push(JSON.parse(line)),
      }),
      replaced: {
        certificates: new FileSource({
          certificatePath: certificatePath(),
          keyPath: keyPath(),
          interval: 1,
          settle: 1,
        }),
      },
    });
  });
  after(async () => {
    await relay.stop();
    rmSync(directory, { recursive: true });
  });

  const certificatePath = () => join(directory, "cert.pem");
  const keyPath = () => join(directory, "key.pem");

  /** @returns the serial number of the certificate that was shown */
  async function handshake(): Promise<string> {
    const client = new SmtpClient(relay.addresses.smtps[0]!.port, "127.0.0.1", true);
    assert.match(await client.reply(), /^220 /);
    const { serial } = client;
    client.destroy();
    return serial;
  }

  function renamed(path: string, text: string): void {
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  }

  /** The steps of each way; a handshake follows each step. */
  const WAYS: readonly ((chain: Chain) => readonly (() => void)[])[] = [
    ({ certificate, privateKey }) => [
      () => renamed(certificatePath(), certificate),
      () => renamed(keyPath(), privateKey),
    ],
    ({ certificate, privateKey }) => [
      () => renamed(keyPath(), privateKey),
      () => renamed(certificatePath(), certificate),
    ],
    ({ certificate, privateKey }) => [
      () => writeFileSync(certificatePath(), ""),
      () => appendFileSync(certificatePath(), certificate.slice(0, 500)),
      () => appendFileSync(certificatePath(), certificate.slice(500)),
      () => writeFileSync(keyPath(), privateKey.slice(0, 100)),
      () => appendFileSync(keyPath(), privateKey.slice(100)),
    ],
    ({ certificate, privateKey }) => [
      () => rmSync(keyPath()),
      () => writeFileSync(certificatePath(), certificate),
      () => writeFileSync(keyPath(), privateKey),
    ],
  ];

  it(`${ROTATIONS} times during handshakes: no handshake fails, and each new certificate is used`, async () => {
    const known = new Set(chains.map(({ serial }) => serial));
    let handshakes = 0;
    for (let i = 1; i <= ROTATIONS; i++) {
      const chain = chains[i % chains.length]!;
      for (const step of WAYS[i % WAYS.length]!(chain)) {
        step();
        assert.ok(known.has(await handshake()));
        handshakes++;
      }
      while (await handshake() !== chain.serial) handshakes++;
    }
    assert.ok(handshakes > 2 * ROTATIONS);
    const count = (message: string) => lines.filter((line) => line.message === message).length;
    assert.equal(count("Certificate replaced"), ROTATIONS);
    assert.equal(count("TLS handshake failed"), 0);
  });
});
