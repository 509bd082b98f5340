// The results as bars in SVG: a group for each figure, a bar for each peer.

import { PEER_IDS, type PeerId, type Results, valueOf } from "./results.ts";

/** Figures of the chart. */
const CHARTED: readonly (readonly [figure: string, title: string, digits: number])[] = [
  ["steady.rate", "messages a second (more is better)", 0],
  ["steady.cpu", "CPU, s for 1,000 messages", 3],
  ["sessions.ecdsa.cpu", "CPU, s for 1,000 sessions with ECDSA", 2],
  ["sessions.rsa.cpu", "CPU, s for 1,000 sessions with RSA", 2],
  ["idle.marginal", "an idle TLS connection, KiB", 1],
  ["start.time", "start to greeting, ms", 0],
  ["rest.anonymous", "own memory at rest, MiB", 1],
  ["large.sendMail.rate", "25 MB × 4, MB a second (more is better)", 0],
  ["large.sendMail.peak", "25 MB × 4, MiB above rest", 0],
];
const COLORS: Readonly<Record<PeerId, string>> = {
  "ours": "#0b6bcb",
  "smtp-server": "#8a6d00",
  "go-smtp": "#1f7a3d",
  "aiosmtpd": "#8b3a8b",
  "smtp-sink": "#777777",
  "sketch": "#aaaaaa",
};
const WIDTH = 720;
const LABEL = 110;
const BAR = 16;
const NUMBER = 70;
const TITLE = 30;

export function chartOf(results: Results): string {
  const parts: string[] = [];
  let y = 10;
  for (const [figure, title, digits] of CHARTED) {
    const values = PEER_IDS.map((peer) => ({ peer, value: valueOf(results, figure, peer) }))
      .filter((one): one is { peer: PeerId; value: number } => one.value !== undefined);
    if (values.length === 0) continue;
    y += TITLE;
    parts.push(`<text x="0" y="${y - 8}" font-weight="bold">${title}</text>`);
    const most = Math.max(...values.map(({ value }) => value));
    for (const { peer, value } of values) {
      const width = Math.max(1, value / most * (WIDTH - LABEL - NUMBER));
      const name = peer === "ours" ? "this relay" : peer;
      const bar = `width="${width.toFixed(1)}" height="${BAR - 4}" fill="${COLORS[peer]}"`;
      const end = (LABEL + width + 6).toFixed(1);
      parts.push(
        `<text x="${LABEL - 8}" y="${y + BAR - 6}" text-anchor="end">${name}</text>`,
        `<rect x="${LABEL}" y="${y}" ${bar} />`,
        `<text x="${end}" y="${y + BAR - 6}">${value.toFixed(digits)}</text>`,
      );
      y += BAR;
    }
  }
  // On pages of any colour.
  parts.unshift(
    `<title>The relay beside others, at commit ${results.commit}</title>`,
    `<rect width="${WIDTH}" height="${y + 10}" fill="#ffffff" />`,
  );
  // As `deno fmt` writes it.
  return `<svg
  xmlns="http://www.w3.org/2000/svg"
  viewBox="0 0 ${WIDTH} ${y + 10}"
  font-family="sans-serif"
  font-size="12"
>
  ${parts.join("\n  ")}
</svg>
`;
}
