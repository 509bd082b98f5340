// The units as the packages bring them: those of deploy/systemd/, but for the executable's place and a
// user that stays, so that an administrator can give it files.

import { SERVICE, SOCKETS, type Unit, UNITS } from "../../src/systemd/units.ts";

/** What install-service has, and what the packages have in its place: each occurs once. */
const CHANGES: readonly (readonly [string, string])[] = [
  ["ExecStart=/usr/local/bin/smtp-oauth-relay serve", "ExecStart=/usr/bin/smtp-oauth-relay serve"],
  [
    "# A user that exists only while the service runs.\nDynamicUser=yes\n",
    "# The package's own user (sysusers.d).\nUser=smtp-oauth-relay\nGroup=smtp-oauth-relay\n",
  ],
  [
    "see deploy/systemd/README.md of the project for its settings.",
    "see /usr/share/doc/smtp-oauth-relay/deploy/systemd/.",
  ],
  [
    "activation, which needs no privilege (install-service --socket-activation).",
    "activation, which needs no privilege (systemctl enable --now smtp-oauth-relay.socket).",
  ],
  [
    "Documentation=man:systemd.exec(5)",
    "Documentation=man:smtp-oauth-relay(1) man:systemd.exec(5)",
  ],
];

/** @throws Error if the units of deploy/systemd/ do not have what is to be changed */
export function packagedUnits(): readonly Unit[] {
  return [...UNITS, ...SOCKETS].map((unit) =>
    unit === SERVICE ? { name: unit.name, text: changed(unit.text) } : unit
  );
}

function changed(text: string): string {
  return CHANGES.reduce((text, [from, to]) => {
    if (text.split(from).length !== 2) throw new Error(`the unit has not once: ${from}`);
    return text.replace(from, to);
  }, text);
}
